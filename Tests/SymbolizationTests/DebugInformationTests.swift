import Glibc
import ProcessImage
import TestTools
import Testing
import TraceModel

@testable import Symbolization

private let inliningProgram = """
  #include <cstdio>
  #include <cstdlib>
  #include <map>
  #include <memory>
  #include <string>
  #include <vector>

  namespace shop {
  struct Item {
    std::string name;
    int price;
  };
  inline __attribute__((always_inline)) int twice(int value) {
    if (value > 1000)
      abort();
    return value * 2 + getchar();
  }
  inline __attribute__((always_inline)) int thrice(int value) { return twice(value) + twice(value + 1); }
  template <typename Key, typename Value>
  __attribute__((noinline)) void put(std::map<Key, std::vector<Value>> &shelf, const Key &key, Value value) {
    shelf[key].push_back(std::move(value));
  }
  }  // namespace shop

  __attribute__((noinline)) int total(const std::vector<shop::Item> &items) {
    int sum = 0;
    for (const auto &item : items)
      sum += shop::thrice(item.price);
    auto lambda = [&](int extra) { return sum + extra + shop::twice(sum); };
    return lambda(7);
  }

  int main() {
    puts("ready");
    fflush(stdout);
    std::map<std::string, std::vector<std::unique_ptr<int>>> shelf;
    shop::put(shelf, std::string("a"), std::make_unique<int>(7));
    std::vector<shop::Item> items{{"bread", getchar()}, {"a longer name than fits", 4}};
    return total(items);
  }

  """

@Suite struct DebugInformationTests {
  private func build(
    _ directory: TemporaryDirectory, compiler: String = "g++", _ options: [String] = []
  ) throws -> String {
    let source = try directory.write("program.cpp", inliningProgram)
    // Without clones: addr2line calls those by the original's name, leaktrace by the symbol's.
    let plain = [
      "-fno-ipa-cp", "-fno-ipa-sra", "-fno-reorder-blocks-and-partition", "-fno-partial-inlining",
    ]
    try run([compiler, "-O2", "-g"] + plain + ["-o", directory.file("program"), source] + options)
    return directory.file("program")
  }

  /// What addr2line says about addresses: for each the functions with their places, innermost first.
  private func placesByAddr2line(
    _ path: String, _ addresses: [UInt64], tool: [String] = ["addr2line", "-C"]
  ) throws -> [[String]] {
    let directory = try TemporaryDirectory()
    let list = addresses.map { "0x" + String($0, radix: 16) }.joined(separator: "\n")
    // @FILE gives the addresses as arguments.
    let file = try directory.write("addresses", list + "\n")
    let output = try run(tool + ["-a", "-i", "-f", "-e", path, "@\(file)"])
    var result: [[String]] = []
    var function: String?
    for line in output.split(separator: "\n") {
      if line.hasPrefix("0x") {
        result.append([])
      } else if result.isEmpty {
        throw ToolFailure(command: tool.joined(separator: " "), status: 0, output: output)
      } else if let name = function {
        var place = line.split(separator: " ").first.map(String.init) ?? ""
        if place.hasSuffix(":?") || place.hasSuffix(":0") { place = "?" }
        if place.contains("/../") { place = SourcePath.readable(place) }
        result[result.count - 1].append("\(name) \(place)")
        function = nil
      } else {
        function = String(line)
      }
    }
    return result
  }

  private func describe(_ frame: Frame) -> String {
    let place = frame.file.flatMap { file in frame.line.map { "\(file):\($0)" } } ?? "?"
    return "\(frame.function ?? "??") \(place)"
  }

  /// Addresses of the first bytes of instructions in `.text`.
  private func instructions(of path: String) throws -> [UInt64] {
    try run(["objdump", "-d", "-j", ".text", "--no-show-raw-insn", path]).split(separator: "\n")
      .compactMap { line in
        guard line.hasPrefix("  "), let colon = line.firstIndex(of: ":") else { return nil }
        return UInt64(line[..<colon].drop { $0 == " " }, radix: 16)
      }
  }

  /// Compares every instruction's frames. Returns how many of them are in inlined code.
  private func compare(
    _ path: String, in directory: TemporaryDirectory, tool: [String] = ["addr2line", "-C"]
  ) throws -> Int {
    // Demanglers differ in details; where two of them would be compared, names stay as they are.
    let options = SymbolizerOptions(demangle: tool.contains("-C"))
    let program = try ProgramUnderTest(path, in: directory, options: options)
    let addresses = try instructions(of: path)
    #expect(addresses.count > 200)
    let expected = try placesByAddr2line(path, addresses, tool: tool)
    #expect(expected.count == addresses.count)
    var inlined = 0
    var known = 0
    for (address, places) in zip(addresses, expected) {
      let frames = program.frames(atVirtualAddress: address)
      // Start-up code without DWARF: addr2line names no place.
      guard places.contains(where: { !$0.hasSuffix(" ?") }) else {
        continue
      }
      known += 1
      var described = frames.map(describe)
      // Where the innermost function has no linkage name, addr2line may put the name of the physical function there.
      if frames.count > 1, let name = frames[0].function, let physical = frames.last?.function,
        name == "operator()" || !name.contains("("), places[0].hasPrefix(physical)
      {
        described[0].replace(name, with: physical, maxReplacements: 1)
      }
      #expect(described == places, "at \(String(address, radix: 16)) of \(path)")
      for frame in frames { #expect(frame.address == program.address(ofVirtualAddress: address)) }
      #expect(frames.dropLast().allSatisfy(\.isInlined) && frames.last?.isInlined == false)
      inlined += frames.count > 1 ? 1 : 0
    }
    #expect(known > 200)
    return inlined
  }

  @Test(arguments: [[], ["-gdwarf-4"], ["-O3", "-gdwarf-5"], ["-Og"], ["-gz=zlib"]])
  func agreesWithAddr2line(options: [String]) throws {
    let directory = try TemporaryDirectory()
    let inlined = try compare(build(directory, options), in: directory)
    #expect(inlined > 50)
  }

  @Test(
    .enabled(
      if: findTool("clang++") != nil && findTool("llvm-symbolizer") != nil,
      "needs clang++ and llvm-symbolizer"),
    arguments: [[], ["-gdwarf-4"], ["-O1"]])
  func agreesWithLLVMOnClangsOutput(options: [String]) throws {
    let directory = try TemporaryDirectory()
    let source = try directory.write("program.cpp", inliningProgram)
    try run(["clang++", "-O2", "-g", "-o", directory.file("program"), source] + options)
    let inlined = try compare(
      directory.file("program"), in: directory,
      tool: ["llvm-symbolizer", "--output-style=GNU", "--no-demangle"])
    #expect(inlined > 50)
  }

  /// Names relative to the directory of the compilation, as most build systems give them.
  @Test(arguments: ["-gdwarf-4", "-gdwarf-5"])
  func joinsDirectories(version: String) throws {
    let directory = try TemporaryDirectory()
    try run(["mkdir", "-p", directory.file("sub/include"), directory.file("build")])
    let inline = "static inline int half(int value) { return value / 2 + getchar(); }\n"
    try directory.write("sub/include/half.h", inline)
    try directory.write(
      "sub/main.c",
      """
      #include <stdio.h>
      #include "half.h"
      int main(int count, char **arguments) {
        puts("ready");
        fflush(stdout);
        return half(count) + half(arguments[0][0]);
      }

      """)
    try run([
      "sh", "-c",
      "cd \(directory.path)/build && gcc -O2 -g \(version) -I../sub/include -o ../program ../sub/main.c",
    ])
    let path = directory.file("program")
    let program = try ProgramUnderTest(path, in: directory)
    var files: Set<String> = []
    let start = try #require(symbols(of: path)["main"])
    for address in start..<(start + 16) {
      for frame in program.frames(atVirtualAddress: address) { files.insert(frame.file ?? "?") }
    }
    #expect(files.contains("\(directory.path)/sub/main.c"))
    #expect(!files.contains { !$0.hasPrefix("/") })
    let all = try instructions(of: path).flatMap { program.frames(atVirtualAddress: $0) }
    #expect(all.contains { $0.function == "half" && $0.isInlined })
    #expect(all.contains { $0.file == "\(directory.path)/sub/include/half.h" && $0.line == 1 })
  }

  @Test(arguments: [
    ("/a/b/c.c", "/a/b/c.c"), ("/a/./b//c.c", "/a/b/c.c"), ("/a/b/../c.c", "/a/c.c"),
    ("/../../c.c", "/c.c"), ("../../c.c", "../../c.c"), ("./a/../../c.c", "../c.c"), ("", ""),
    ("<built-in>", "<built-in>"), ("/a/..b/c...c", "/a/..b/c...c"),
  ])
  func makesPathsReadable(path: String, expected: String) {
    #expect(SourcePath.readable(path) == expected)
  }
}
