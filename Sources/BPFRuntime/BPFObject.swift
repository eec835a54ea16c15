import CLibBPF
import Glibc

/// A compiled object that has been parsed but not given to the kernel: maps can be sized and programs left out.
package struct OpenBPFObject: ~Copyable {
  private let handle: ObjectHandle
  private let name: String
  private var pointer: OpaquePointer { handle.pointer }

  /// Parses an object file. The bytes must stay valid and unchanged for the life of the process.
  package init(name: String, bytes: UnsafeRawBufferPointer) throws(BPFError) {
    clibbpf_capture_log()
    guard let pointer = bpf_object__open_mem(bytes.baseAddress!, bytes.count, nil) else {
      throw BPFError(operation: "open \(name)", code: errno, log: BPFError.takeLog())
    }
    handle = ObjectHandle(pointer: pointer)
    self.name = name
  }

  package func setMaxEntries(_ count: UInt32, ofMap map: String) throws(BPFError) {
    let error = bpf_map__set_max_entries(try findMap(map), count)
    guard error == 0 else { throw BPFError(operation: "size map \(map)", code: -error) }
  }

  /// Makes the object use a map that exists already, for sharing between objects.
  package func reuse(_ map: BPFMap, as name: String) throws(BPFError) {
    let error = bpf_map__reuse_fd(try findMap(name), map.descriptor)
    guard error == 0 else {
      throw BPFError(operation: "share map \(name)", code: -error, log: BPFError.takeLog())
    }
  }

  /// Writes the object's read-only data, which is one `Configuration` value at its start.
  package func configure<Configuration: BitwiseCopyable>(
    _ configuration: Configuration, section: String = ".rodata"
  ) throws(BPFError) {
    var size = 0
    var found: OpaquePointer?
    var map: OpaquePointer?
    while true {
      map = bpf_object__next_map(pointer, map)
      guard let map else { break }
      if String(cString: bpf_map__name(map)).hasSuffix(section) { found = map }
    }
    guard let found, let memory = bpf_map__initial_value(found, &size),
      size >= MemoryLayout<Configuration>.size
    else { throw BPFError(operation: "configure \(name)", code: ENOENT) }
    withUnsafeBytes(of: configuration) {
      UnsafeMutableRawPointer(mutating: memory).copyMemory(
        from: $0.baseAddress!, byteCount: $0.count)
    }
  }

  /// Loads only the named programs; the others stay out of the kernel.
  package func setLoaded(_ isLoaded: Bool, program: String) throws(BPFError) {
    _ = bpf_program__set_autoload(try findProgram(program), isLoaded)
  }

  package func setAttachType(_ type: UInt32, program: String) throws(BPFError) {
    let error = clibbpf_set_attach_type(try findProgram(program), type)
    guard error == 0 else { throw BPFError(operation: "set type of \(program)", code: -error) }
  }

  /// Marks a program as one that may sleep.
  package func setSleepable(program: String) throws(BPFError) {
    let found = try findProgram(program)
    _ = bpf_program__set_flags(found, bpf_program__flags(found) | UInt32(BPF_F_SLEEPABLE))
  }

  /// Creates the maps and loads the programs.
  package consuming func load() throws(BPFError) -> BPFObject {
    let error = bpf_object__load(pointer)
    guard error == 0 else {
      throw BPFError(operation: "load \(name)", code: -error, log: BPFError.takeLog())
    }
    return BPFObject(handle: handle, name: name)
  }

  private func findMap(_ map: String) throws(BPFError) -> OpaquePointer {
    guard let found = bpf_object__find_map_by_name(pointer, map) else {
      throw BPFError(operation: "find map \(map) in \(name)", code: ENOENT)
    }
    return found
  }

  private func findProgram(_ program: String) throws(BPFError) -> OpaquePointer {
    guard let found = bpf_object__find_program_by_name(pointer, program) else {
      throw BPFError(operation: "find program \(program) in \(name)", code: ENOENT)
    }
    return found
  }
}

/// Owns libbpf's object through opening and loading.
private final class ObjectHandle {
  let pointer: OpaquePointer
  init(pointer: OpaquePointer) { self.pointer = pointer }
  deinit { bpf_object__close(pointer) }
}

/// A loaded object. Its maps and programs live until it and every link are released.
package final class BPFObject {
  private let handle: ObjectHandle
  package let name: String
  private var pointer: OpaquePointer { handle.pointer }

  fileprivate init(handle: ObjectHandle, name: String) {
    self.handle = handle
    self.name = name
  }

  package func map(_ map: String) throws(BPFError) -> BPFMap {
    guard let found = bpf_object__find_map_by_name(pointer, map) else {
      throw BPFError(operation: "find map \(map) in \(name)", code: ENOENT)
    }
    return BPFMap(
      owner: self, descriptor: bpf_map__fd(found), name: map,
      keySize: Int(bpf_map__key_size(found)), valueSize: Int(bpf_map__value_size(found)),
      maxEntries: Int(bpf_map__max_entries(found)))
  }

  /// Descriptor of a loaded program, for making links.
  package func program(_ program: String) throws(BPFError) -> BPFProgram {
    guard let found = bpf_object__find_program_by_name(pointer, program) else {
      throw BPFError(operation: "find program \(program) in \(name)", code: ENOENT)
    }
    let descriptor = bpf_program__fd(found)
    guard descriptor >= 0 else {
      throw BPFError(operation: "use program \(program)", code: ENOENT, log: "it was not loaded")
    }
    return BPFProgram(owner: self, descriptor: descriptor, name: program)
  }
}

/// A loaded program; valid as long as its object, which it keeps alive.
package struct BPFProgram {
  let owner: BPFObject
  package let descriptor: Int32
  package let name: String
}
