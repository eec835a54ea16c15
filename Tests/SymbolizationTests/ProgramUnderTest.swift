import Glibc
import ProcessImage
import TestTools
import TraceModel

@testable import Symbolization

/// A running program whose addresses are symbolized. It must wait for its standard input to end.
final class ProgramUnderTest {
  let path: String
  let process: RunningProgram
  let symbolizer: Symbolizer
  private let bias: UInt64

  /// Removed only when the program is no longer needed.
  private let directory: TemporaryDirectory

  init(
    _ path: String, in directory: TemporaryDirectory,
    options: SymbolizerOptions = SymbolizerOptions()
  ) throws {
    self.path = path
    self.directory = directory
    process = try RunningProgram([path])
    let id = process.processID
    guard eventually({ ProcessInfo.executable(of: id)?.path == path }) else {
      throw ToolFailure(command: path, status: 0, output: "it does not start")
    }
    // The program says so once the dynamic linker is done.
    _ = process.readLine()
    symbolizer = Symbolizer(options: options)
    let mappings = try ProcessMaps.read(processID: process.processID)
    symbolizer.record(processID: process.processID, generation: 1, snapshot: AddressSpaceSnapshot(mappings: mappings))
    let elf = try ElfFile(path: path)
    guard
      let first = mappings.first(where: { $0.path == path && $0.permissions.contains(.execute) }),
      let start = elf.virtualAddress(ofMappingAt: first.fileOffset)
    else { throw ToolFailure(command: path, status: 0, output: "no executable mapping") }
    bias = first.start &- start
  }

  /// The frames at a virtual address of the program's own file, as of a leaf frame.
  func frames(atVirtualAddress address: UInt64) -> [Frame] {
    frames([address &+ bias], leafIsExact: true)
  }

  func frames(_ addresses: [UInt64], leafIsExact: Bool) -> [Frame] {
    symbolizer.frames(
      for: StackTrace(addresses: addresses, completeness: .complete),
      processID: process.processID, generation: 1, leafIsExact: leafIsExact)
  }

  func address(ofVirtualAddress address: UInt64) -> UInt64 { address &+ bias }
}

/// The symbols that nm knows in a file, by name.
func symbols(of path: String, _ options: [String] = []) throws -> [String: UInt64] {
  var found: [String: UInt64] = [:]
  for line in try run(["nm", "-p"] + options + [path]).split(separator: "\n") {
    let fields = line.split(separator: " ", maxSplits: 2)
    if fields.count == 3, let address = UInt64(fields[0], radix: 16) {
      found[String(fields[2])] = address
    }
  }
  return found
}

let waitingProgram = """
  #include <stdio.h>
  #include <stdlib.h>
  static int counter;
  __attribute__((noinline)) static int helper(int value) { counter += value; return counter * 3; }
  __attribute__((noinline)) int exported(int value) { return helper(value) + 1; }
  int main(void) {
    puts("ready");
    fflush(stdout);
    void *block = malloc(10);
    free(block);
    while (getchar() != EOF) counter = exported(counter);
    return counter > 1000;
  }

  """
