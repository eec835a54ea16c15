import Allocators
import ProcessImage
import SystemSupport

/// Tells functions that do the work from wrappers, which pass every call on to another probed function.
///
/// Probing both would pay twice for one block, and a wrapper that jumps to the worker shares its stack frame, so that
/// the two cannot be told apart at run time.
struct WrapperFilter {
  /// Every function that some object of the process defines, by name.
  private let byName: [String: AllocatorFunction]
  private let objectsWithMalloc: Int
  private let objects: [ObjectView]

  private struct ObjectView {
    let identity: FileIdentity
    let byAddress: [UInt64: AllocatorFunction]
    let imports: ElfImports
  }

  init(objects: [AllocatorObject]) {
    var byName: [String: AllocatorFunction] = [:]
    var withMalloc = 0
    for object in objects {
      var definesMalloc = false
      for found in object.functions {
        for name in [found.function.name] + found.aliases {
          if byName[name] == nil { byName[name] = found.function }
          if name == "malloc" { definesMalloc = true }
        }
      }
      if definesMalloc { withMalloc += 1 }
    }
    let names = Set(byName.keys.map { HashedSymbolName($0) })
    self.objects = objects.map { object in
      ObjectView(
        identity: object.description.identity,
        byAddress: Dictionary(
          object.functions.map { ($0.address, $0.function) },
          uniquingKeysWith: { first, _ in first }),
        imports: ElfImports(object.file, wanted: names))
    }
    self.byName = byName
    objectsWithMalloc = withMalloc
  }

  /// The functions of an object that are worth a probe: all but those that pass every call on.
  func functionsToProbe(in object: AllocatorObject) -> [FoundFunction] {
    object.functions.filter { found in
      if found.isCustom { return true }
      if object.isCxxRuntime, found.function.traits.contains(.isOperator), objectsWithMalloc > 0 {
        return false
      }
      return !isWrapper(found, in: object)
    }
  }

  private func isWrapper(_ found: FoundFunction, in object: AllocatorObject) -> Bool {
    let code = object.code(of: found)
    guard code.isWhole, let view = view(of: object) else { return false }
    var harmless: HarmlessExits
    switch found.function.kind {
    case .free: harmless = .nullArgument
    case .allocateToPointer: harmless = .nonzeroConstant
    default: harmless = .zero
    }
    if found.function.traits.contains(.mayThrow) { harmless.insert(.conditionalJumpOut) }
    return allPathsReach(code: code.bytes, address: found.address, harmless: harmless) {
      guard let inner = target(of: $0, in: view, except: found.address) else { return false }
      return found.function.isServed(by: inner)
    }
  }

  /// Whether the function's bytes hold something that may be a call of another probed function. Errs on the side of yes.
  func mayCallAnother(_ found: FoundFunction, in object: AllocatorObject) -> Bool {
    guard let view = view(of: object) else { return true }
    // Computed calls matter in an interposer, which calls the next malloc by an address from dlsym.
    return Processor.mayCall(
      code: object.code(of: found).bytes, address: found.address, computed: objectsWithMalloc > 1
    ) { target(of: $0, in: view, except: found.address) != nil }
  }

  private func view(of object: AllocatorObject) -> ObjectView? {
    objects.first { $0.identity == object.description.identity }
  }

  private func target(
    of destination: BranchDestination, in view: ObjectView, except own: UInt64
  ) -> AllocatorFunction? {
    switch destination {
    case .address(own): return nil
    case .address(let address):
      if let function = view.byAddress[address] { return function }
      return view.imports.name(ofStub: address).flatMap { byName[$0] }
    case .slot(let slot): return view.imports.name(inSlot: slot).flatMap { byName[$0] }
    }
  }
}
