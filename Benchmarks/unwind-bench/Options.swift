import CTraceABI
import UnwindHarness

/// What the commands that run a program have in common.
struct Options {
  var configuration = lt_probe_configuration(walks: 1, kernel_walks: 0, sample_period: 0, stops: 1)
  var functions: [String] = []
  var library = "/lib/x86_64-linux-gnu/libc.so.6"
  var atReturn = false
  var usesDebugInformation = true
  var usesWorker = false
  var stackCount = 100
  var command: [String]

  init(_ arguments: inout ArraySlice<String>) throws {
    command = []
    func value(of option: String) throws -> String {
      guard let value = arguments.popFirst() else { throw HarnessError(description: "\(option) needs a value") }
      return value
    }
    func number(of option: String) throws -> UInt32 {
      let text = try value(of: option)
      guard let number = UInt32(text), number > 0 else {
        throw HarnessError(description: "\(option) \(text): not a number above 0")
      }
      return number
    }
    while let option = arguments.popFirst(), option != "--" {
      switch option {
      case "-k": configuration.kernel_walks = 1
      case "-K": configuration = .init(walks: 0, kernel_walks: 1, sample_period: 0, stops: 0)
      case "-f": functions.append(try value(of: option))
      case "-l": library = try value(of: option)
      case "-r": atReturn = true
      case "-d": usesDebugInformation = false
      case "-w": usesWorker = true
      case "-n": stackCount = Int(try number(of: option))
      case "-c":
        configuration.sample_period = try number(of: option)
        configuration.stops |= UInt32(LT_PROBE_STOP_FOR_SAMPLES)
      default: throw HarnessError(description: "unknown option \(option)\n\(usage)")
      }
    }
    command = Array(arguments)
    if command.isEmpty { throw HarnessError(description: usage) }
    if functions.isEmpty { functions = ["malloc"] }
  }

  /// A harness with its probes on.
  func makeHarness() throws -> UnwindHarness {
    let harness = try UnwindHarness(configuration: configuration)
    for function in functions {
      try harness.attach(path: library, function: function, atReturn: atReturn)
    }
    return harness
  }
}
