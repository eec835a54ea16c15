import CElfUtils

/// Finds functions of a Go program in the table that Go's runtime walks its own stacks by, which `strip` leaves in the file.
struct GoFunctions {
  /// How the table is laid out: Go 1.2, 1.16, and 1.18 with 1.20.
  private enum Layout {
    case absolute, absoluteWithHeader, relative

    init?(magic: UInt32) {
      switch magic {
      case 0xffff_fffb: self = .absolute
      case 0xffff_fffa: self = .absoluteWithHeader
      case 0xffff_fff0, 0xffff_fff1: self = .relative
      default: return nil
      }
    }
  }

  private let layout: Layout
  private let table: UnsafeRawBufferPointer
  private let count: UInt64
  private let names: UInt64
  private let functions: UInt64
  private let textStart: UInt64

  /// nil where the file has no such table, or one of another version.
  init?(_ file: ElfFile) {
    guard let (address, table) = Self.find(in: file), let magic = table.value(at: 0, as: UInt32.self),
      let layout = Layout(magic: magic), let count = table.value(at: 8, as: UInt64.self)
    else { return nil }
    self.table = table
    self.layout = layout
    self.count = min(count, Self.mostFunctions)
    switch layout {
    case .absolute:
      names = 0
      functions = 16
      textStart = 0
    case .absoluteWithHeader:
      guard let names = table.value(at: 24, as: UInt64.self), let functions = table.value(at: 56, as: UInt64.self)
      else { return nil }
      self.names = names
      self.functions = functions
      textStart = 0
    case .relative:
      guard let stored = table.value(at: 24, as: UInt64.self), let names = table.value(at: 32, as: UInt64.self),
        let functions = table.value(at: 64, as: UInt64.self)
      else { return nil }
      self.names = names
      self.functions = functions
      // In a program that is loaded anywhere the dynamic linker fills it in.
      guard let start = stored != 0 ? stored : Self.relocated(address &+ 24, in: file) else { return nil }
      textStart = start
    }
  }

  /// The virtual addresses of the functions of these names. A name may have two: Go has two calling conventions.
  func ranges(named wanted: [StaticString]) -> [Range<UInt64>] {
    var found: [Range<UInt64>] = []
    for index in 0..<count where found.count < 16 {
      guard let entry = entry(index), let next = entry.next, let name = name(of: entry.function) else { return found }
      guard wanted.contains(where: { matches($0, at: name) }), next > entry.start else { continue }
      found.append(entry.start..<next)
    }
    return found
  }

  private static let mostFunctions: UInt64 = 4 << 20

  /// The table and its virtual address. In programs that are loaded anywhere the linker puts it among other data that is
  /// relocated, at a multiple of 32 bytes.
  private static func find(in file: ElfFile) -> (address: UInt64, table: UnsafeRawBufferPointer)? {
    for name in [".gopclntab", ".data.rel.ro.gopclntab", ".data.rel.ro"] {
      guard let section = file.section(named: name), let contents = file.contents(of: section),
        let base = contents.baseAddress
      else { continue }
      for first: UInt8 in [0xf1, 0xf0, 0xfa, 0xfb] {
        // Instructions of one byte, addresses of eight.
        let header: [UInt8] = [first, 0xff, 0xff, 0xff, 0, 0, 1, 8]
        var offset = 0
        while offset < contents.count {
          let found = header.withUnsafeBytes {
            celf_find(base + offset, contents.count - offset, $0.baseAddress!, $0.count)
          }
          guard found >= 0 else { break }
          let place = section.address &+ UInt64(offset + found)
          if place % 32 == 0 {
            return (place, UnsafeRawBufferPointer(rebasing: contents[(offset + found)...]))
          }
          offset += found + 1
        }
      }
    }
    return nil
  }

  /// - Returns: where the function and the one behind it begin, and where in the table it is described.
  private func entry(_ index: UInt64) -> (start: UInt64, next: UInt64?, function: UInt64)? {
    if layout == .relative {
      let place = functions &+ index * 8
      guard let start = table.value(at: place, as: UInt32.self),
        let function = table.value(at: place &+ 4, as: UInt32.self)
      else { return nil }
      let next = table.value(at: place &+ 8, as: UInt32.self).map { textStart &+ UInt64($0) }
      return (textStart &+ UInt64(start), next, functions &+ UInt64(function))
    }
    let place = functions &+ index * 16
    guard let start = table.value(at: place, as: UInt64.self),
      let function = table.value(at: place &+ 8, as: UInt64.self)
    else { return nil }
    let base = layout == .absolute ? 0 : functions
    return (start, table.value(at: place &+ 16, as: UInt64.self), base &+ function)
  }

  private func name(of function: UInt64) -> UInt64? {
    table.value(at: function &+ (layout == .relative ? 4 : 8), as: UInt32.self).map { names &+ UInt64($0) }
  }

  /// Compares with the zero behind the name.
  private func matches(_ name: StaticString, at place: UInt64) -> Bool {
    let length = name.utf8CodeUnitCount
    guard place < UInt64(table.count), UInt64(table.count) - place > UInt64(length) else { return false }
    return UnsafeRawBufferPointer(rebasing: table[Int(place)..<Int(place) + length]).elementsEqual(
      UnsafeRawBufferPointer(start: name.utf8Start, count: length)) && table[Int(place) + length] == 0
  }

  /// What the dynamic linker writes to an address, as if the file were loaded at 0.
  private static func relocated(_ address: UInt64, in file: ElfFile) -> UInt64? {
    var values: [Int64: UInt64] = [:]
    for entry in file.dynamicEntries where values[entry.tag] == nil { values[entry.tag] = entry.value }
    guard let start = values[Int64(DT_RELA)], let size = values[Int64(DT_RELASZ)],
      let table = file.contents(atVirtualAddress: start, size: size)
    else { return nil }
    let width = UInt64(MemoryLayout<Elf64_Rela>.size)
    for index in 0..<UInt64(ElfLimits.relocations) {
      guard let entry = table.value(at: index * width, as: Elf64_Rela.self) else { return nil }
      if entry.r_offset == address { return UInt64(bitPattern: Int64(entry.r_addend)) }
    }
    return nil
  }
}
