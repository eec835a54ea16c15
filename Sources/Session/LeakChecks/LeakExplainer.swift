import AllocationTracing
import LeakAnalysis
import Quantities
import Symbolization
import TextOutput
import TraceModel

/// Describes in words by which chain of pointers blocks are reached.
struct LeakExplainer {
  let tracer: AllocationTracer
  let symbolizer: Symbolizer

  /// One explanation for each address and each process that has a block there. If no process has one, an explanation
  /// that says so.
  func explanations(of addresses: [UInt64], results: [LeakCheckResult]) -> [BlockExplanation] {
    let results = results.sorted { $0.processID < $1.processID }
    return addresses.flatMap { address -> [BlockExplanation] in
      let found = results.compactMap { explanation(of: address, $0) }
      if found.isEmpty, let first = results.first {
        return [BlockExplanation(processID: first.processID, address: address, block: nil)]
      }
      return found
    }
  }

  private func explanation(of address: UInt64, _ result: LeakCheckResult) -> BlockExplanation? {
    guard let found = result.explain(address: address) else { return nil }
    return BlockExplanation(
      processID: result.processID, address: address,
      block: BlockExplanation.Block(
        address: found.block.address, sizeInBytes: found.block.sizeInBytes, kind: found.verdict.kind),
      steps: (found.steps ?? []).map { step in
        BlockExplanation.Step(
          holder: description(of: step.holder, result), pointer: step.pointer, targetAddress: step.target.address,
          targetSizeInBytes: step.target.sizeInBytes, link: link(step))
      })
  }

  private func link(_ step: ExplanationStep) -> BlockExplanation.Link {
    if case .carved = step.holder { return .carved }
    return switch step.link {
    case .start: .start
    case .heuristic: .heuristic
    case .interior: .interior
    }
  }

  private func description(of holder: ExplanationStep.Holder, _ result: LeakCheckResult) -> String {
    switch holder {
    case .block(let block, let offset):
      let place = hexadecimal(block.address &+ offset)
      return offset == 0
        ? "the block of \(ByteSize.exact(block.sizeInBytes)) at \(place)"
        : "\(place), \(counted(offset, "byte")) inside of a block of \(ByteSize.exact(block.sizeInBytes)),"
    case .carved(let block): return "the block of \(ByteSize.exact(block.sizeInBytes)) at \(hexadecimal(block.address))"
    case .value(let value):
      return switch value.kind {
      case .registers: "a register of \(value.name)"
      case .threadLocal: "thread-local data of \(value.name)"
      case .kernel: "the kernel (\(value.name))"
      default: value.name
      }
    case .root(let root, let address): return description(of: root, address, result)
    }
  }

  private func description(of root: Root, _ address: UInt64, _ result: LeakCheckResult) -> String {
    let place = hexadecimal(address)
    switch root.kind {
    case .globals:
      let module = root.name.split(separator: "/").last.map(String.init) ?? root.name
      guard
        let process = tracer.processes.last(where: {
          $0.processID == result.processID && $0.generation == result.generation
        }),
        let variable = symbolizer.variable(
          at: address, inModule: root.name, processID: result.processID, generation: process.imageNumber)
      else { return "\(place) in the data of \(module)" }
      let distance = address &- variable.address
      let offset = distance == 0 ? "" : "+\(hexadecimal(distance))"
      return "\(variable.name)\(offset) [\(module)]"
    case .stack: return root.name == "[stack]" ? "the stack at \(place)" : "the stack of \(root.name) at \(place)"
    case .threadLocal: return "thread-local data of \(root.name) at \(place)"
    case .registers: return root.name
    case .interpreterHeap(let name): return "\(name) at \(place)"
    case .anonymous, .unknownHeap, .kernel: return "\(root.name) at \(place)"
    }
  }

}
