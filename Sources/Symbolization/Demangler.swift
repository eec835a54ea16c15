import CElfUtils
import Glibc

/// Turns linker names into what the programmer wrote: C++ (Itanium), Rust (legacy and v0) and Swift.
package enum Demangler {
  /// Names longer than this stay as they are: the demanglers' use of the stack grows with the length.
  static let maximumLength = SymbolText.maximumLength
  /// A name that expands beyond this stays as it is.
  private static let maximumResult = 65536

  /// Whether a name looks like one of a known mangling.
  static func isMangled(_ name: String) -> Bool {
    var name = name
    return name.withUTF8 { language(UnsafeRawBufferPointer($0)) != nil }
  }

  /// The plain form of a name, or the name itself when it is in no known mangling.
  package static func demangle(_ name: String) -> String {
    name.withCString { demangle($0) }
  }

  /// The plain form of a NUL-terminated name. A symbol version (`@GLIBC_2.2.5`) is left out.
  package static func demangle(_ name: UnsafePointer<CChar>) -> String {
    let bytes = UnsafeRawBufferPointer(start: name, count: strnlen(name, maximumLength + 1))
    // No mangled name contains `@`, except at its front, where it may belong to a special name of Swift.
    let length = bytes.dropFirst().firstIndex(of: UInt8(ascii: "@")) ?? bytes.count
    let plain = String(decoding: bytes[..<length], as: UTF8.self)
    if length > maximumLength { return SymbolText.string(name) }
    guard length >= 3, let language = language(bytes) else {
      return plain
    }
    // A private copy: the file behind the name may be changing.
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: maximumLength + 1) { copy in
      memcpy(copy.baseAddress!, name, length)
      copy[length] = 0
      return withUnsafeTemporaryAllocation(of: CChar.self, capacity: maximumResult) { result in
        let count =
          switch language {
          case .itaniumOrRust:
            celf_demangle(copy.baseAddress!, result.baseAddress!, result.count)
          case .swift:
            celf_demangle_swift(copy.baseAddress!, length, result.baseAddress!, result.count)
          }
        guard count > 0 else { return plain }
        return String(
          decoding: UnsafeRawBufferPointer(start: result.baseAddress, count: count), as: UTF8.self)
      }
    }
  }

  private enum Language { case itaniumOrRust, swift }

  private static func language(_ name: UnsafeRawBufferPointer) -> Language? {
    func begins(_ prefix: StaticString) -> Bool {
      name.count >= prefix.utf8CodeUnitCount
        && memcmp(name.baseAddress!, prefix.utf8Start, prefix.utf8CodeUnitCount) == 0
    }
    if begins("_Z") || begins("_R") || begins("_GLOBAL_") { return .itaniumOrRust }
    if begins("$s") || begins("_$s") || begins("$S") || begins("_$S") || begins("_T0") {
      return .swift
    }
    return nil
  }
}
