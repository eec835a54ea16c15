/// What a CIE (the part that several functions share) says, for the call-frame programs of those functions.
struct CFICommonInformation {
  var codeAlignment: UInt64 = 1
  var dataAlignment: Int64 = 1
  var returnAddressRegister = CFIState.returnAddressColumn
  var pointerEncoding: UInt8 = 0
  var hasAugmentationData = false
  var isSignalFrame = false
  /// The rules that are in force after the initial instructions, where the program of each function begins.
  var initialState = CFIState()
}

// MARK: - Call-frame programs: the instructions of DWARF 5 §6.4.2 and the GNU extensions

extension CFIConverter {
  /// The most states that a program may have remembered at one time. No compiler comes near this number.
  private static let maximumRemembered = 64

  /// Emits the rows of one function.
  mutating func run(_ function: Function) {
    guard let base = section.bytes.baseAddress else { return }
    let common = commons[Int(function.common)]
    let end = function.start + function.size
    var reader = CFIReader(
      base: base, position: Int(function.programStart), end: Int(function.programEnd))
    state = common.initialState
    address = function.start
    remembered.removeAll(keepingCapacity: true)
    output.beginFunction(start: function.start, end: end)
    execute(&reader, common: common, end: end)
    if reader.failed { output.statistics.malformedRecords += 1 }
    if address < end { emit(common) }
    output.endFunction(end: end)
  }

  @inline(__always)
  private mutating func emit(_ common: CFICommonInformation) {
    output.append(address: address, rule: state.rule(isSignalFrame: common.isSignalFrame))
  }

  /// Ends the current row at `newAddress` and goes on from there. Returns false when `newAddress` is outside the
  /// function.
  @inline(__always)
  private mutating func advance(to newAddress: UInt64, _ common: CFICommonInformation, end: UInt64)
    -> Bool
  {
    guard newAddress >= address, newAddress < end else {
      // The rest of the program cannot change anything: the current row lasts until the end of the function.
      return false
    }
    if newAddress != address {
      emit(common)
      address = newAddress
    }
    return true
  }

  /// Executes instructions until the program ends, the function (`end`) ends, or an instruction fails.
  mutating func execute(_ reader: inout CFIReader, common: CFICommonInformation, end: UInt64) {
    while !reader.isAtEnd && !reader.failed {
      let opcode = reader.readByte()
      let operand = opcode & 0x3f
      switch opcode >> 6 {
      case 1:
        let delta = UInt64(operand) &* common.codeAlignment
        guard advance(to: address &+ delta, common, end: end) else { return }
      case 2:
        setRegister(UInt64(operand), .offset(readFactored(&reader, common)))
      case 3:
        restoreRegister(UInt64(operand), common)
      default:
        guard executeExtended(operand, &reader, common: common, end: end) else { return }
      }
    }
  }

  /// Executes an instruction whose opcode takes the whole byte. Returns false when the program is to end here.
  private mutating func executeExtended(
    _ opcode: UInt8, _ reader: inout CFIReader, common: CFICommonInformation, end: UInt64
  ) -> Bool {
    switch opcode {
    case 0x00: break  // DW_CFA_nop
    case 0x01:  // DW_CFA_set_loc
      guard
        let location = reader.readPointer(
          encoding: common.pointerEncoding, sectionAddress: section.address)
      else {
        reader.failed = true
        return false
      }
      return advance(to: location, common, end: end)
    case 0x02:  // DW_CFA_advance_loc1
      let delta = UInt64(reader.readByte()) &* common.codeAlignment
      return advance(to: address &+ delta, common, end: end)
    case 0x03:  // DW_CFA_advance_loc2
      let delta = UInt64(reader.read(UInt16.self)) &* common.codeAlignment
      return advance(to: address &+ delta, common, end: end)
    case 0x04:  // DW_CFA_advance_loc4
      let delta = UInt64(reader.read(UInt32.self)) &* common.codeAlignment
      return advance(to: address &+ delta, common, end: end)
    case 0x05:  // DW_CFA_offset_extended
      let register = reader.readULEB128()
      setRegister(register, .offset(readFactored(&reader, common)))
    case 0x06:  // DW_CFA_restore_extended
      restoreRegister(reader.readULEB128(), common)
    case 0x07:  // DW_CFA_undefined
      setRegister(reader.readULEB128(), .undefined)
    case 0x08:  // DW_CFA_same_value
      setRegister(reader.readULEB128(), .same)
    case 0x09:  // DW_CFA_register
      let register = reader.readULEB128()
      let source = reader.readULEB128()
      setRegister(register, register == source ? .same : .unsupported)
    case 0x0a:  // DW_CFA_remember_state
      guard remembered.count < Self.maximumRemembered else {
        reader.failed = true
        return false
      }
      remembered.append(state)
    case 0x0b:  // DW_CFA_restore_state
      guard let last = remembered.popLast() else {
        reader.failed = true
        return false
      }
      state = last
    case 0x0c:  // DW_CFA_def_cfa
      state.cfa = .register(reader.readULEB128())
      state.cfaOffset = Int64(truncatingIfNeeded: reader.readULEB128())
    case 0x0d:  // DW_CFA_def_cfa_register
      setCFARegister(reader.readULEB128())
    case 0x0e:  // DW_CFA_def_cfa_offset
      setCFAOffset(Int64(truncatingIfNeeded: reader.readULEB128()))
    case 0x0f:  // DW_CFA_def_cfa_expression
      let expression = readExpression(&reader)
      (state.cfa, state.cfaOffset) = CFIExpression.cfa(expression)
    case 0x10:  // DW_CFA_expression
      let register = reader.readULEB128()
      setRegister(register, CFIExpression.location(readExpression(&reader)))
    case 0x11:  // DW_CFA_offset_extended_sf
      let register = reader.readULEB128()
      setRegister(register, .offset(reader.readSLEB128() &* common.dataAlignment))
    case 0x12:  // DW_CFA_def_cfa_sf
      state.cfa = .register(reader.readULEB128())
      state.cfaOffset = reader.readSLEB128() &* common.dataAlignment
    case 0x13:  // DW_CFA_def_cfa_offset_sf
      setCFAOffset(reader.readSLEB128() &* common.dataAlignment)
    case 0x14, 0x15:  // DW_CFA_val_offset, DW_CFA_val_offset_sf
      let register = reader.readULEB128()
      let offset =
        opcode == 0x14 ? Int64(truncatingIfNeeded: reader.readULEB128()) : reader.readSLEB128()
      // This says that the caller's stack pointer is the CFA, which every reader of call-frame information assumes
      // anyway.
      setRegister(register, register == CFIState.stackPointerColumn && offset == 0 ? .same : .unsupported)
    case 0x16:  // DW_CFA_val_expression
      let register = reader.readULEB128()
      _ = readExpression(&reader)
      setRegister(register, .unsupported)
    case 0x2e:  // DW_CFA_GNU_args_size
      _ = reader.readULEB128()
    case 0x2f:  // DW_CFA_GNU_negative_offset_extended
      let register = reader.readULEB128()
      setRegister(register, .offset(0 &- readFactored(&reader, common)))
    default:
      reader.failed = true
      return false
    }
    return true
  }

  @inline(__always)
  private func readFactored(_ reader: inout CFIReader, _ common: CFICommonInformation) -> Int64 {
    Int64(truncatingIfNeeded: reader.readULEB128()) &* common.dataAlignment
  }

  private func readExpression(_ reader: inout CFIReader) -> CFIReader {
    let size = reader.readULEB128()
    let start = reader.position
    reader.skip(size)
    return CFIReader(base: reader.base, position: start, end: reader.failed ? start : reader.position)
  }

  @inline(__always)
  private mutating func setRegister(_ register: UInt64, _ location: CFIState.Location) {
    switch register {
    case CFIState.framePointerColumn: state.framePointer = location
    case CFIState.stackPointerColumn: state.stackPointer = location
    case CFIState.returnAddressColumn: state.returnAddress = location
    default: break
    }
  }

  @inline(__always)
  private mutating func restoreRegister(_ register: UInt64, _ common: CFICommonInformation) {
    switch register {
    case CFIState.framePointerColumn: state.framePointer = common.initialState.framePointer
    case CFIState.stackPointerColumn: state.stackPointer = common.initialState.stackPointer
    case CFIState.returnAddressColumn: state.returnAddress = common.initialState.returnAddress
    default: break
    }
  }

  /// The register and the offset of the CFA may be changed separately only while the CFA is a register plus an offset.
  private mutating func setCFARegister(_ register: UInt64) {
    if case .register = state.cfa {
      state.cfa = .register(register)
    } else {
      state.cfa = .unsupported
    }
  }

  private mutating func setCFAOffset(_ offset: Int64) {
    if case .register = state.cfa {
      state.cfaOffset = offset
    } else {
      state.cfa = .unsupported
    }
  }
}
