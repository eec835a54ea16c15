import ProcessImage

/// The table of chosen blocks: how they are entered and taken out.
extension GateCodeBuilder {
  /// The first place of the table that a block, whose complement is in r11, may be at, in r10. Changes rax.
  private mutating func findBucket() {
    code.set(.rax, 0x9e37_79b9_7f4a_7c15)
    code.multiply(.rax, .r11)
    code.shiftRight(.rax, 64 - layout.bucketBits)
    code.shiftLeft(.rax, 6)
    code.loadAddress(.r10, .absolute(layout.table))
    code.add(.r10, .rax)
  }

  /// The byte of the filter for the block whose complement is in r11, in r10. Changes rax.
  private mutating func findFilterByte() {
    code.complement(.r11)
    hash(.r11)
    code.complement(.r11)
    code.loadAddress(.r10, .absolute(layout.filter))
    code.add(.r10, .rax)
  }

  /// Enters the block in r11. The zero flag is set if there was no place. Keeps all but rax, r10 and r11, and rax too.
  mutating func addInsert() {
    let next = code.makeLabel()
    let found = code.makeLabel()
    let end = code.makeLabel()
    code.place(insert)
    code.depth = 0
    for register in [ArgumentRegister.rax, .rcx, .rdx] { code.push(register) }
    code.complement(.r11)
    findBucket()
    code.set(.rcx, GateLayout.searchedPlaces)
    code.place(next)
    code.clear(.rax)
    code.exchange(.at(.r10, 0), with: .r11)
    code.jump(if: .equal, found)
    code.add(.r10, 8)
    code.subtract(.rcx, 1)
    code.jump(if: .notEqual, next)
    code.jump(end)
    code.place(found)
    changeFilterByte(by: 1)
    code.set(.rcx, 1)
    code.place(end)
    code.test(.rcx)
    for register in [ArgumentRegister.rdx, .rcx, .rax] { code.pop(register) }
    code.return()
  }

  /// Takes the block in r11 out. The zero flag is set if it was not there. Keeps all but rax, r10 and r11.
  mutating func addRemove() {
    let next = code.makeLabel()
    let found = code.makeLabel()
    let end = code.makeLabel()
    code.place(remove)
    code.depth = 0
    for register in [ArgumentRegister.rcx, .rdx] { code.push(register) }
    code.complement(.r11)
    findBucket()
    code.set(.rcx, GateLayout.searchedPlaces)
    code.place(next)
    code.compare(.r11, with: .at(.r10, 0))
    code.jump(if: .equal, found)
    code.add(.r10, 8)
    code.subtract(.rcx, 1)
    code.jump(if: .notEqual, next)
    code.jump(end)
    code.place(found)
    code.move(.rax, .r11)
    code.clear(.rcx)
    code.exchange(.at(.r10, 0), with: .rcx)
    code.set(.rcx, 0)
    code.jump(if: .notEqual, end)  // another thread frees it, too
    changeFilterByte(by: -1)
    code.set(.rcx, 1)
    code.place(end)
    code.test(.rcx)
    for register in [ArgumentRegister.rdx, .rcx] { code.pop(register) }
    code.return()
  }

  /// Adds to the byte of the filter for the block whose complement is in r11, unless it is full. Changes rax, rdx and r10.
  private mutating func changeFilterByte(by amount: Int8) {
    let again = code.makeLabel()
    let done = code.makeLabel()
    findFilterByte()
    code.place(again)
    code.loadByte(.rax, .at(.r10, 0))
    code.move(.rdx, .rax)
    code.add(.rdx, 1)
    code.shiftRight(.rdx, 8)
    code.jump(if: .notEqual, done)
    code.move(.rdx, .rax)
    code.add(.rdx, amount)
    code.exchangeByte(.at(.r10, 0), with: .rdx)
    code.jump(if: .notEqual, again)
    code.place(done)
  }
}
