import ProcessImage

/// Writes x86-64 instructions one after the other, for a known address. Encodings are of the processor's manual.
struct CodeAssembler {
  private(set) var bytes: [UInt8] = []
  /// Where the first byte is going to be.
  let address: UInt64

  /// A place that jumps can lead to before it is known.
  struct Label: Hashable { fileprivate var number: Int }
  private var places: [Int?] = []
  private var jumps: [(at: Int, to: Label)] = []

  /// How many bytes the code has pushed at a place since the return address, from that place on.
  struct Depth: Hashable {
    var offset: Int
    var bytes: Int
  }
  /// In ascending order.
  private(set) var depths: [Depth] = []
  /// What is so at the present place. To be set where the code before it does not lead there.
  var depth = 0 {
    didSet {
      if depths.last?.offset == offset { depths.removeLast() }
      if depths.last?.bytes != depth { depths.append(Depth(offset: offset, bytes: depth)) }
    }
  }

  init(address: UInt64) { self.address = address }

  var offset: Int { bytes.count }
  private var here: UInt64 { address &+ UInt64(bytes.count) }

  mutating func emit(_ new: UInt8...) { bytes += new }
  mutating func emit(_ new: [UInt8]) { bytes += new }

  private mutating func emit32(_ value: UInt32) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
  private mutating func emit64(_ value: UInt64) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }

  /// The distance from behind the 4 bytes that come next.
  private mutating func emitDistance(to target: UInt64, after trailing: Int = 0) {
    emit32(UInt32(truncatingIfNeeded: target &- (here &+ 4 &+ UInt64(trailing))))
  }

  // MARK: Labels

  mutating func makeLabel() -> Label {
    places.append(nil)
    return Label(number: places.count - 1)
  }

  mutating func place(_ label: Label) { places[label.number] = bytes.count }

  func offset(of label: Label) -> Int { places[label.number] ?? 0 }

  /// Fills in the jumps to labels. All labels that are used have to be placed.
  mutating func finish() {
    for jump in jumps {
      let distance = UInt32(truncatingIfNeeded: offset(of: jump.to) - (jump.at + 4))
      for index in 0..<4 { bytes[jump.at + index] = UInt8(truncatingIfNeeded: distance >> UInt32(8 * index)) }
    }
    jumps = []
  }

  private mutating func emitDistance(to label: Label) {
    jumps.append((bytes.count, label))
    emit32(0)
  }

  // MARK: Jumps

  enum Condition: UInt8 {
    case overflow = 0
    case below = 2
    case equal = 4
    case notEqual = 5
    case belowOrEqual = 6
    case above = 7
  }

  mutating func jump(_ label: Label) {
    emit(0xe9)
    emitDistance(to: label)
  }
  mutating func jump(if condition: Condition, _ label: Label) {
    emit(0x0f, 0x80 | condition.rawValue)
    emitDistance(to: label)
  }
  mutating func jump(to target: UInt64) {
    emit(0xe9)
    emitDistance(to: target)
  }
  mutating func jump(ifCondition condition: UInt8, to target: UInt64) {
    emit(0x0f, 0x80 | condition & 0xf)
    emitDistance(to: target)
  }
  mutating func call(_ label: Label) {
    emit(0xe8)
    emitDistance(to: label)
  }
  mutating func `return`() { emit(0xc3) }
  /// The instruction that a probe is put on: a NOP that the kernel emulates. Not one of 5 bytes: ``UprobeEmulation``.
  mutating func probePlace() { emit(0x90) }

  // MARK: Registers

  private func low(_ register: ArgumentRegister) -> UInt8 { register.rawValue & 7 }
  private func high(_ register: ArgumentRegister) -> UInt8 { register.rawValue >> 3 }

  mutating func push(_ register: ArgumentRegister) {
    if high(register) != 0 { emit(0x41) }
    emit(0x50 | low(register))
    depth += 8
  }
  mutating func pop(_ register: ArgumentRegister) {
    if high(register) != 0 { emit(0x41) }
    emit(0x58 | low(register))
    depth -= 8
  }

  /// An instruction with two full registers; `reg` and `rm` are the manual's names.
  private mutating func twoRegisters(_ opcode: [UInt8], reg: ArgumentRegister, rm: ArgumentRegister) {
    emit(0x48 | high(reg) << 2 | high(rm))
    emit(opcode)
    emit(0xc0 | low(reg) << 3 | low(rm))
  }

  mutating func move(_ destination: ArgumentRegister, _ source: ArgumentRegister) {
    if destination != source { twoRegisters([0x89], reg: source, rm: destination) }
  }
  mutating func add(_ destination: ArgumentRegister, _ source: ArgumentRegister) {
    twoRegisters([0x01], reg: source, rm: destination)
  }
  mutating func exclusiveOr(_ destination: ArgumentRegister, _ source: ArgumentRegister) {
    twoRegisters([0x31], reg: source, rm: destination)
  }
  mutating func test(_ register: ArgumentRegister) { twoRegisters([0x85], reg: register, rm: register) }
  mutating func multiply(_ destination: ArgumentRegister, _ source: ArgumentRegister) {
    twoRegisters([0x0f, 0xaf], reg: destination, rm: source)
  }
  mutating func complement(_ register: ArgumentRegister) { emit(0x48 | high(register), 0xf7, 0xd0 | low(register)) }
  mutating func clear(_ register: ArgumentRegister) { exclusiveOr(register, register) }
  mutating func set(_ register: ArgumentRegister, _ value: UInt64) {
    emit(0x48 | high(register), 0xb8 | low(register))
    emit64(value)
  }
  /// `subcode` is what tells shifts and operations with an immediate apart.
  private mutating func withImmediate8(_ opcode: UInt8, _ subcode: UInt8, _ register: ArgumentRegister, _ value: UInt8)
  {
    emit(0x48 | high(register), opcode, 0xc0 | subcode << 3 | low(register), value)
  }
  mutating func shiftRight(_ register: ArgumentRegister, _ bits: UInt8) { withImmediate8(0xc1, 5, register, bits) }
  mutating func shiftLeft(_ register: ArgumentRegister, _ bits: UInt8) { withImmediate8(0xc1, 4, register, bits) }
  mutating func add(_ register: ArgumentRegister, _ value: Int8) {
    withImmediate8(0x83, 0, register, UInt8(bitPattern: value))
    if register == .rsp { depth -= Int(value) }
  }
  mutating func subtract(_ register: ArgumentRegister, _ value: Int8) {
    withImmediate8(0x83, 5, register, UInt8(bitPattern: value))
    if register == .rsp { depth += Int(value) }
  }
  mutating func and(_ register: ArgumentRegister, _ mask: UInt32) {
    emit(0x48 | high(register), 0x81, 0xe0 | low(register))
    emit32(mask)
  }
  mutating func keepLow16(_ register: ArgumentRegister) {
    emit(0x40 | high(register) << 2 | high(register), 0x0f, 0xb7, 0xc0 | low(register) << 3 | low(register))
  }

  // MARK: Memory

  enum Place {
    /// Base and distance.
    case at(ArgumentRegister, Int8)
    /// Base and index.
    case indexed(ArgumentRegister, ArgumentRegister)
    case absolute(UInt64)
  }

  /// An instruction with a register, or a subcode in its stead, and memory.
  ///
  /// - Parameter trailing: how many bytes of the instruction come behind the place.
  private mutating func withMemory(
    _ opcode: [UInt8], reg: UInt8, _ place: Place, isWide: Bool = true, prefix: [UInt8] = [], trailing: Int = 0
  ) {
    emit(prefix)
    var rex: UInt8 = (isWide ? 0x48 : 0x40) | (reg >> 3) << 2
    let field = (reg & 7) << 3
    switch place {
    case .at(let base, let distance):
      rex |= high(base)
      emit(rex)
      emit(opcode)
      emit(0x40 | field | low(base))
      if low(base) == 4 { emit(0x24) }
      emit(UInt8(bitPattern: distance))
    case .indexed(let base, let index):
      rex |= high(base) | high(index) << 1
      emit(rex)
      emit(opcode)
      // With a distance of 0, so that every base can be written in the same way.
      emit(0x44 | field)
      emit(low(index) << 3 | low(base), 0)
    case .absolute(let target):
      emit(rex)
      emit(opcode)
      emit(0x05 | field)
      emitDistance(to: target, after: trailing)
    }
  }

  mutating func load(_ register: ArgumentRegister, _ place: Place) {
    withMemory([0x8b], reg: register.rawValue, place)
  }
  mutating func store(_ register: ArgumentRegister, _ place: Place) {
    withMemory([0x89], reg: register.rawValue, place)
  }
  mutating func loadByte(_ register: ArgumentRegister, _ place: Place) {
    withMemory([0x0f, 0xb6], reg: register.rawValue, place, isWide: false)
  }
  mutating func loadAddress(_ register: ArgumentRegister, _ place: Place) {
    withMemory([0x8d], reg: register.rawValue, place)
  }
  mutating func subtract(_ register: ArgumentRegister, from place: Place) {
    withMemory([0x29], reg: register.rawValue, place)
  }
  mutating func subtract(_ value: UInt8, from place: Place) {
    withMemory([0x83], reg: 5, place, trailing: 1)
    emit(value)
  }
  mutating func or(_ value: UInt8, into place: Place) {
    withMemory([0x83], reg: 1, place, trailing: 1)
    emit(value)
  }
  mutating func compare(_ register: ArgumentRegister, with place: Place) {
    withMemory([0x3b], reg: register.rawValue, place)
  }
  mutating func compareWord(_ place: Place, with value: UInt8) {
    withMemory([0x83], reg: 7, place, trailing: 1)
    emit(value)
  }
  mutating func compareByte(_ place: Place, with value: UInt8) {
    withMemory([0x80], reg: 7, place, isWide: false, trailing: 1)
    emit(value)
  }
  /// Stores `register` if the word is what rax holds; the zero flag tells.
  mutating func exchange(_ place: Place, with register: ArgumentRegister) {
    withMemory([0x0f, 0xb1], reg: register.rawValue, place, prefix: [0xf0])
  }
  mutating func exchangeByte(_ place: Place, with register: ArgumentRegister) {
    withMemory([0x0f, 0xb0], reg: register.rawValue, place, isWide: false, prefix: [0xf0])
  }
  /// Loads the address of the thread's control block.
  mutating func loadThreadPointer(_ register: ArgumentRegister) {
    emit(0x64, 0x48 | high(register) << 2, 0x8b, 0x04 | low(register) << 3, 0x25)
    emit32(0)
  }
  /// Reads the processor's clock into rax, and spoils rdx.
  mutating func readClock() { emit(0x0f, 0x31) }
}
