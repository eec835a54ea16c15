import TraceModel

/// Whose code a frame is.
package enum FrameRole: String, Hashable, Sendable {
  /// A function that hands out memory, or a known wrapper of one.
  case allocator
  /// What starts programs and threads, the C library, and the runtimes of compiled languages.
  case runtime
  /// The standard library of C++ or Rust.
  case standardLibrary = "std"
  /// The machine of an interpreter: it allocates on behalf of code that has no frames of its own.
  case interpreter
  /// Everything else: the program, its libraries, and code made at run time.
  case program

  /// Whether a reader who looks for the cause of a leak can do without the frame.
  package var isFolded: Bool { self != .program && self != .interpreter }
}

/// Tells whose code frames are; each name is looked at once.
package final class FrameRoles {
  private struct Key: Hashable {
    var function: String?
    var module: String?
    var isRustFile: Bool
  }
  private var known: [Key: FrameRole] = [:]
  private var kernelFunctions: [String?: FrameRole] = [:]
  private var rustFiles: [String: Bool] = [:]

  package init() {}

  /// - Parameter isKernel: whether the frame is of the kernel.
  package func role(of frame: Frame, isKernel: Bool) -> FrameRole {
    if isKernel {
      if let role = kernelFunctions[frame.function] { return role }
      let role = KernelFunctions.role(of: frame.function)
      kernelFunctions[frame.function] = role
      return role
    }
    let key = Key(
      function: frame.function, module: frame.module, isRustFile: frame.file.map(isRustFile) ?? false)
    if let role = known[key] { return role }
    let role = Self.role(key, frame)
    known[key] = role
    return role
  }

  private func isRustFile(_ path: String) -> Bool {
    if let known = rustFiles[path] { return known }
    let isLibrary = RustNames.isLibraryFile(path)
    rustFiles[path] = isLibrary
    return isLibrary
  }

  private static func role(_ key: Key, _ frame: Frame) -> FrameRole {
    let module = key.module.map { $0.split(separator: "/").last ?? Substring($0) }
    if let function = key.function {
      let name = FunctionName(function)
      if AllocatorNames.contains(name) { return .allocator }
      if isStandardLibrary(name, isRustFile: key.isRustFile) { return .standardLibrary }
      if RuntimeNames.contains(name) { return .runtime }
    } else if frame.module == nil, frame.unresolved != .generatedCode {
      // An address that belongs to nothing is nobody's.
      return .runtime
    }
    guard let module else { return .program }
    if ModuleNames.isAllocator(module) { return .allocator }
    if ModuleNames.isRuntime(module) { return .runtime }
    return ModuleNames.isInterpreter(module) ? .interpreter : .program
  }

  private static func isStandardLibrary(_ name: FunctionName, isRustFile: Bool) -> Bool {
    if isRustFile { return true }
    let text = name.qualified
    for prefix in ["std::", "__gnu_cxx::", "__cxxabiv1::", "virtual thunk to std::", "non-virtual thunk to std::"]
    where text.hasPrefix(prefix) { return true }
    // C++ programs have namespaces `core` and `alloc` of their own; their functions have parameters.
    return !name.hasParameters && RustNames.isLibrary(text)
  }
}

/// Names of Rust's own crates.
enum RustNames {
  private static let crates = ["core::", "alloc::", "std::", "hashbrown::"]

  static func isLibraryFile(_ path: String) -> Bool {
    path.hasPrefix("/rustc/") || path.contains("/rustlib/src/rust/library/")
  }

  static func isLibrary(_ name: Substring) -> Bool {
    if crates.contains(where: name.hasPrefix) { return true }
    guard name.hasPrefix("<") else { return false }
    // `<alloc::vec::Vec<T> as core::ops::drop::Drop>::drop`: what implements decides; a bare parameter leaves the trait.
    var type = name.dropFirst()
    for prefix in ["&", "mut ", "[", "*const ", "*mut ", "dyn "] where type.hasPrefix(prefix) {
      type = type.dropFirst(prefix.count)
    }
    if crates.contains(where: type.hasPrefix) { return true }
    guard let blank = type.firstIndex(of: " "), type.distance(from: type.startIndex, to: blank) <= 2,
      type[blank...].hasPrefix(" as ")
    else { return false }
    let bound = type[blank...].dropFirst(4)
    return crates.contains(where: bound.hasPrefix)
  }
}

/// Files whose code is all of one kind, by the beginning of their names.
enum ModuleNames {
  private static let allocators = [
    "libjemalloc", "libtcmalloc", "libmimalloc", "libsnmalloc", "libhoard", "librpmalloc",
  ]
  private static let runtimes = [
    "libc.so", "libc-2.", "ld-linux", "ld-2.", "ld-musl", "ld64.so", "libpthread.so", "libpthread-2.", "libdl.so",
    "libdl-2.", "libstdc++.so", "libc++.so", "libc++abi.so", "libgcc_s.so", "libswiftCore.so", "libswift_",
    "[vdso]", "linux-vdso",
  ]
  /// Names that only a version or a dash may follow.
  private static let interpreters = [
    "python", "libpython", "node", "libnode", "php", "php-fpm", "php-cgi", "libphp", "ruby", "libruby", "libruby-",
    "perl",
    "libperl", "lua", "luajit", "liblua", "libjvm", "libv8", "libcoreclr", "libclrjit", "libmonosgen-", "beam.smp",
  ]

  static func isAllocator(_ name: Substring) -> Bool { allocators.contains(where: name.hasPrefix) }
  static func isRuntime(_ name: Substring) -> Bool { runtimes.contains(where: name.hasPrefix) }

  static func isInterpreter(_ name: Substring) -> Bool {
    interpreters.contains { start in
      guard name.hasPrefix(start) else { return false }
      let rest = name.dropFirst(start.count)
      return rest.isEmpty || rest.hasPrefix(".so") || rest.allSatisfy { $0.isNumber || ".-_d".contains($0) }
        || rest.prefix { $0.isNumber || $0 == "." || $0 == "-" }.count > 0 && rest.contains(".so")
    }
  }
}
