import CTraceObjects
import ProcessImage

/// What the programs declare of themselves: lines in the section `.hooks` of their object, which `BPF/kernel/hooks.bpf.h`
/// explains.
extension KernelHook {
  /// The `e_machine` that ELF files for BPF have.
  private static let bpfMachine: UInt16 = 247

  /// The hooks of the programs that are part of this executable.
  static func declared() -> [KernelHook] {
    let image = ctrace_kernel_allocations()
    guard
      let file = try? ElfFile(
        copying: UnsafeRawBufferPointer(start: image.bytes, count: image.size), name: "kernel_allocations",
        machine: bpfMachine),
      let section = file.sections.first(where: { $0.name == ".hooks" }), let lines = file.contents(of: section)
    else { preconditionFailure("kernel_allocations.bpf.o declares no hooks") }
    return hooks(lines: lines.split(separator: 0).map { String(decoding: $0, as: UTF8.self) })
  }

  /// The hooks that lines declare, in the order of their first lines. A line that cannot be read is a fault of a program.
  static func hooks(lines: [String]) -> [KernelHook] {
    var hooks: [KernelHook] = []
    for line in lines {
      let words = line.split(separator: " ").map(String.init)
      guard words.count > 5, let source = KernelSource(rawValue: words[2]),
        let importance = Importance(rawValue: words[3])
      else { preconditionFailure("no declaration of a hook: \(line)") }
      let (program, name, targets) = (words[0], words[1], Array(words[5...]))
      let index = hooks.firstIndex { $0.name == name } ?? hooks.endIndex
      if index == hooks.endIndex {
        hooks.append(KernelHook(name: name, source: source, ways: [], importance: importance))
      }
      switch words[4] {
      case "tracepoint": hooks[index].ways.append(.rawTracepoint(program: program, names: targets))
      case "kprobe": hooks[index].ways.append(.kprobe(program: program, functions: targets))
      case "kretprobe":
        // When a kprobe of the same event comes before it, the two belong together as entry and return.
        if case .kprobe(let entry, targets)? = hooks[index].ways.last {
          hooks[index].ways[hooks[index].ways.count - 1] = .kprobePair(
            entry: entry, return: program, functions: targets)
        } else {
          hooks[index].ways.append(.kretprobe(program: program, functions: targets))
        }
      default: preconditionFailure("no way to attach a program: \(line)")
      }
    }
    return hooks
  }
}
