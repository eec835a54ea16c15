// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [.treatAllWarnings(as: .error)]
/// For what goes through every block and every word of a process's memory: without optimization that takes fifty times as
/// long, and the traced processes stand still or run away from us meanwhile.
let optimized = strict + [.unsafeFlags(["-O"], .when(configuration: .debug))]
let strictC: [CSetting] = [.unsafeFlags(["-Wall", "-Wextra", "-Werror"])]

/// Static archives that may refer to each other, whatever order the targets are linked in.
func archives(_ names: String...) -> LinkerSetting {
  .unsafeFlags(
    ["-Xlinker", "--start-group"] + names.map { "-l:lib\($0).a" } + ["-Xlinker", "--end-group"])
}

let package = Package(
  name: "leaktrace",
  products: [
    .executable(name: "leaktrace", targets: ["leaktrace"])
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.86.0"),
  ],
  targets: [
    // C: what Swift cannot import or what both halves of the tracer share.
    .target(name: "CTraceABI", cSettings: strictC),
    .target(name: "CTraceObjects", exclude: ["objects"], cSettings: strictC),
    .target(
      name: "CLibBPF",
      cSettings: strictC,
      linkerSettings: [archives("bpf", "elf", "z")]
    ),
    .target(
      name: "CElfUtils",
      cSettings: strictC,
      linkerSettings: [archives("dw", "elf", "lzma", "bz2", "z", "iberty")]
    ),
    .target(
      name: "CCapstone",
      cSettings: strictC,
      linkerSettings: [archives("capstone")]
    ),
    .target(name: "CProcessControl", cSettings: strictC),
    .target(name: "CPerfEvents", cSettings: strictC),
    .target(name: "CConfinement", cSettings: strictC),

    // Swift, from the bottom up.
    .target(name: "SaturatingIntegers", swiftSettings: optimized),
    .target(name: "Quantities", swiftSettings: strict),
    .target(name: "TextOutput", dependencies: ["Quantities"], swiftSettings: optimized),
    .target(name: "SystemSupport", swiftSettings: strict),
    .target(name: "TraceModel", dependencies: ["Quantities", "SystemSupport"], swiftSettings: strict),
    .target(name: "BPFRuntime", dependencies: ["SystemSupport", "CLibBPF"], swiftSettings: strict),
    .target(
      name: "ProcessImage", dependencies: ["SystemSupport", "TraceModel", "CElfUtils", "CCapstone", "CTraceABI"],
      swiftSettings: strict),
    .target(
      name: "ProcessControl",
      dependencies: ["SystemSupport", "TraceModel", "ProcessImage", "Quantities", "CProcessControl"],
      swiftSettings: strict),
    .target(name: "Allocators", swiftSettings: strict),
    .target(
      name: "Gate",
      dependencies: [
        "Allocators", "SystemSupport", "TraceModel", "ProcessImage", "ProcessControl", "CProcessControl", "CTraceABI",
      ],
      swiftSettings: optimized),
    .target(name: "Runtimes", dependencies: ["ProcessImage"], swiftSettings: strict),
    .target(
      name: "Symbolization",
      dependencies: [
        "CTraceABI", "SystemSupport", "Quantities", "TraceModel", "ProcessImage", "CElfUtils", "CConfinement",
      ],
      swiftSettings: strict),
    .target(
      name: "PageFaults",
      dependencies: ["SystemSupport", "TraceModel", "ProcessImage", "Symbolization", "CPerfEvents", "CTraceABI"],
      swiftSettings: strict),
    .target(
      name: "Accounting", dependencies: ["GrowthStatistics", "TraceModel", "BPFRuntime", "LeakAnalysis", "CTraceABI"],
      swiftSettings: optimized),
    .target(
      name: "AllocationTracing",
      dependencies: [
        "Allocators", "Runtimes",
        "Symbolization", "Accounting", "ReportAnalysis",
        "SystemSupport", "TraceModel", "Quantities", "BPFRuntime", "ProcessImage", "GrowthStatistics", "LeakAnalysis",
        "ProcessControl", "Gate", "CElfUtils", "CLibBPF", "CProcessControl", "CTraceABI", "CTraceObjects",
      ],
      swiftSettings: optimized),
    .target(
      name: "KernelTracing",
      dependencies: [
        "Accounting",
        "SystemSupport", "TraceModel", "Quantities", "BPFRuntime", "ProcessImage", "Symbolization", "GrowthStatistics",
        "KernelStatistics", "CLibBPF", "CTraceABI", "CTraceObjects",
      ],
      swiftSettings: strict),
    .target(
      name: "LeakAnalysis",
      dependencies: [
        "Allocators", "Runtimes", "SystemSupport", "Quantities", "TraceModel", "ProcessImage", "ProcessControl",
        "CElfUtils",
      ],
      swiftSettings: optimized),
    .target(name: "GrowthStatistics", dependencies: ["TraceModel"], swiftSettings: optimized),
    .target(
      name: "KernelStatistics", dependencies: ["TraceModel", "ProcessImage"], swiftSettings: strict),
    .target(
      name: "HostObservation",
      dependencies: [
        "Allocators", "Runtimes",
        "SystemSupport", "Quantities", "TextOutput", "ProcessImage", "GrowthStatistics", "KernelStatistics",
        "ReportFormats",
      ],
      swiftSettings: strict),
    .target(
      name: "CSQLite", cSettings: strictC,
      // SQLite's own functions need the mathematical library, which has to come behind it.
      linkerSettings: [
        .unsafeFlags(["-Xlinker", "--start-group", "-l:libsqlite3.a", "-lm", "-Xlinker", "--end-group"])
      ]),
    .target(
      name: "History", dependencies: ["SystemSupport", "CSQLite", "ReportFormats", "TraceModel"], swiftSettings: strict),
    .target(
      name: "Watch",
      dependencies: ["SystemSupport", "Quantities", "TextOutput", "HostObservation", "ReportFormats", "TraceModel"],
      swiftSettings: strict),
    .target(
      name: "WatchServer",
      dependencies: [
        "SystemSupport", .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
      ],
      swiftSettings: strict),
    .target(name: "CCapabilities", dependencies: ["CLibBPF"], cSettings: strictC),
    .target(
      name: "HostCapabilities",
      dependencies: [
        "Accounting",
        "SystemSupport", "CCapabilities", "CLibBPF", "BPFRuntime", "ProcessImage", "Symbolization", "AllocationTracing",
        "KernelTracing", "HostObservation", "Quantities", "ReportFormats", "Scheduling", "TextOutput", "TraceModel",
      ],
      swiftSettings: strict),
    .target(name: "ReportAnalysis", dependencies: ["Quantities", "TraceModel"], swiftSettings: strict),
    .target(
      name: "LiveView", dependencies: ["TraceModel", "ReportAnalysis", "Quantities", "TextOutput"],
      swiftSettings: strict),
    .target(name: "CCompression", cSettings: strictC, linkerSettings: [archives("z")]),
    .target(
      name: "ReportFormats",
      dependencies: ["SystemSupport", "TraceModel", "ReportAnalysis", "Quantities", "TextOutput", "CCompression"],
      swiftSettings: strict),
    .target(name: "Scheduling", dependencies: ["SystemSupport", "CProcessControl"], swiftSettings: strict),
    .target(
      name: "Session",
      dependencies: [
        "Accounting",
        "SystemSupport", "Quantities", "TextOutput", "Scheduling", "TraceModel", "BPFRuntime", "ProcessImage",
        "Symbolization", "AllocationTracing", "KernelStatistics", "KernelTracing",
        "LeakAnalysis", "ReportAnalysis", "ReportFormats", "LiveView", "ProcessControl", "CProcessControl", "Gate",
        "HostObservation", "History",
      ],
      swiftSettings: strict),
    .target(
      name: "WatchService",
      dependencies: [
        "Accounting",
        "SystemSupport", "Quantities", "Scheduling", "TraceModel", "Symbolization", "AllocationTracing",
        "KernelTracing", "ReportFormats", "TextOutput", "CProcessControl",
        "HostObservation", "HostCapabilities", "History", "PageFaults", "Session", "Watch", "WatchServer",
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "leaktrace",
      dependencies: [
        "Accounting",
        "SystemSupport", "Quantities", "TextOutput", "TraceModel", "ProcessImage", "Symbolization", "AllocationTracing",
        "KernelTracing", "LeakAnalysis", "ReportAnalysis", "ReportFormats", "HostObservation", "HostCapabilities",
        "Scheduling", "Session", "Watch",
        "WatchService",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: strict),

    // Support: what tests and benchmarks share.
    .target(
      name: "ProgramSupport", dependencies: ["SystemSupport"], path: "Support/ProgramSupport", swiftSettings: strict),
    .target(
      name: "UnwindHarness",
      dependencies: [
        "BPFRuntime", "ProcessImage", "AllocationTracing", "CTraceABI", "CTraceObjects", "CUnwindOracle",
        "ProgramSupport",
      ],
      path: "Support/UnwindHarness", swiftSettings: strict),
    .target(
      name: "CUnwindOracle", dependencies: ["CElfUtils", "CTraceABI"],
      path: "Support/CUnwindOracle", cSettings: strictC),

    // Benchmarks that Scripts/bench runs: the stack walker, report formats, the search for pointers.
    .executableTarget(
      name: "unwind-bench",
      dependencies: [
        "TraceModel", "ProcessImage", "Symbolization", "AllocationTracing", "UnwindHarness", "CTraceABI",
      ],
      path: "Benchmarks/unwind-bench", swiftSettings: strict),
    .executableTarget(
      name: "report-bench", dependencies: ["ReportFormats", "TraceModel"],
      path: "Benchmarks/report-bench", swiftSettings: strict),
    .executableTarget(
      name: "scan-bench",
      dependencies: ["SystemSupport", "LeakAnalysis", "ProcessImage", "TraceModel", "ProgramSupport"],
      path: "Benchmarks/scan-bench", swiftSettings: strict),

    // Tests: one target per module, plus the runs that need root.
    .target(
      name: "TestTools", dependencies: ["ProgramSupport", "Scheduling"], path: "Tests/TestTools",
      swiftSettings: strict),
    .testTarget(
      name: "SessionTests", dependencies: ["Session", "SystemSupport", "AllocationTracing", "TestTools"],
      swiftSettings: strict),
    .testTarget(
      name: "WatchServiceTests",
      dependencies: [
        "WatchService", "Watch", "Session", "Scheduling", "HostObservation", "HostCapabilities", "KernelTracing",
        "PageFaults", "AllocationTracing", "SystemSupport", "TraceModel", "TestTools",
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: strict),
    .testTarget(name: "SchedulingTests", dependencies: ["Scheduling", "TestTools"], swiftSettings: strict),
    // The helpers of the programs, compiled for the host. `sanitized` is a program that a test compiles.
    .target(
      name: "CNativeBPF", dependencies: ["CTraceABI"], path: "Tests/CNativeBPF", exclude: ["sanitized"],
      cSettings: [
        .headerSearchPath("."), .headerSearchPath("../../BPF"), .headerSearchPath("../../BPF/x86_64"),
        .unsafeFlags(["-Wall", "-Wextra", "-Werror", "-Wno-unknown-attributes", "-Wno-duplicate-decl-specifier"]),
      ]),
    .testTarget(
      name: "NativeBPFTests",
      dependencies: ["AllocationTracing", "CNativeBPF", "CTraceABI", "ProcessImage", "ProgramSupport", "TestTools"],
      swiftSettings: strict),
    .testTarget(
      name: "SaturatingIntegersTests", dependencies: ["SaturatingIntegers"], swiftSettings: strict),
    .testTarget(name: "QuantitiesTests", dependencies: ["Quantities"], swiftSettings: strict),
    .testTarget(name: "SystemSupportTests", dependencies: ["SystemSupport", "TestTools"], swiftSettings: strict),
    .testTarget(name: "TextOutputTests", dependencies: ["TextOutput"], swiftSettings: strict),
    .testTarget(name: "TraceModelTests", dependencies: ["SystemSupport", "TraceModel"], swiftSettings: strict),
    .testTarget(
      name: "ProcessImageTests",
      dependencies: ["TraceModel", "ProcessImage", "CElfUtils", "CTraceABI", "CUnwindOracle", "TestTools"],
      swiftSettings: strict),
    .testTarget(
      name: "SymbolizationTests",
      dependencies: ["CTraceABI", "ProcessImage", "TraceModel", "Symbolization", "CElfUtils", "TestTools"],
      swiftSettings: strict),
    .testTarget(name: "AllocatorsTests", dependencies: ["Allocators"], swiftSettings: strict),
    .testTarget(name: "RuntimesTests", dependencies: ["Runtimes"], swiftSettings: strict),
    .testTarget(
      name: "AccountingTests", dependencies: ["Accounting", "CTraceABI", "TraceModel"], swiftSettings: strict),
    .testTarget(
      name: "AllocationTracingTests",
      dependencies: [
        "Allocators",
        "Accounting", "GrowthStatistics", "LeakAnalysis", "SystemSupport", "ProcessImage", "Symbolization",
        "TraceModel",
        "AllocationTracing", "CTraceABI",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "KernelStatisticsTests", dependencies: ["KernelStatistics", "TestTools"], swiftSettings: strict),
    .testTarget(
      name: "KernelTracingTests",
      dependencies: ["SystemSupport", "KernelTracing", "KernelStatistics", "TraceModel", "CTraceABI"],
      swiftSettings: strict),
    .testTarget(
      name: "GrowthStatisticsTests", dependencies: ["GrowthStatistics", "TraceModel", "TestTools"],
      swiftSettings: strict),
    .testTarget(
      name: "LeakAnalysisTests",
      dependencies: ["LeakAnalysis", "ProcessControl", "ProcessImage", "TraceModel", "TestTools"],
      swiftSettings: strict),
    .testTarget(
      name: "HostObservationTests",
      dependencies: ["HostObservation", "KernelStatistics", "TestTools"],
      swiftSettings: strict),
    .executableTarget(
      name: "history-writer", dependencies: ["History"], path: "Tests/HistoryWriter", swiftSettings: strict),
    .testTarget(
      name: "HistoryTests", dependencies: ["History", "ReportFormats", "TraceModel", "TestTools", "history-writer"],
      swiftSettings: strict),
    .testTarget(
      name: "WatchTests",
      dependencies: [
        "SystemSupport", "Watch", "WatchServer", "HostObservation", "ReportFormats", "TraceModel", "TestTools",
      ],
      swiftSettings: strict),
    .testTarget(name: "HostCapabilitiesTests", dependencies: ["HostCapabilities"], swiftSettings: strict),
    .testTarget(name: "LiveViewTests", dependencies: ["TraceModel", "LiveView"], swiftSettings: strict),
    .testTarget(name: "ReportAnalysisTests", dependencies: ["TraceModel", "ReportAnalysis"], swiftSettings: strict),
    .testTarget(
      name: "ReportFormatsTests",
      dependencies: ["Quantities", "SystemSupport", "ReportFormats", "TextOutput", "TraceModel", "TestTools"],
      exclude: ["Golden"],
      swiftSettings: strict),
    // Attacks on what reads files and memory of others. Each one has been carried out against a version that fell to it.
    .testTarget(
      name: "HostileTests",
      dependencies: [
        "AllocationTracing", "CElfUtils", "HostObservation", "LeakAnalysis", "ProcessImage", "ReportFormats",
        "Symbolization", "SystemSupport", "TextOutput", "TraceModel", "Watch", "WatchServer", "TestTools", "leaktrace",
      ],
      path: "Tests/Hostile", swiftSettings: optimized),
    .testTarget(
      name: "GateTests", dependencies: ["Gate", "ProcessImage", "Allocators", "TraceModel"],
      swiftSettings: strict),
    .testTarget(
      name: "PrivilegedTests",
      dependencies: [
        "ProcessImage", "AllocationTracing", "KernelTracing", "PageFaults", "ReportFormats", "TraceModel",
        "UnwindHarness", "CUnwindOracle", "CTraceABI", "TestTools",
      ],
      swiftSettings: strict),
  ],
  cLanguageStandard: .gnu2x
)

// In the modules of the product no arithmetic traps: a number of a hostile process would end the program (decision 0018). The
// compiler imports the module of the operators into each of their files.
for target in package.targets where target.path == nil && target.type != .test {
  guard let settings = target.swiftSettings, !settings.isEmpty, target.name != "SaturatingIntegers" else { continue }
  target.dependencies.append("SaturatingIntegers")
  target.swiftSettings =
    settings + [.unsafeFlags(["-Xfrontend", "-import-module", "-Xfrontend", "SaturatingIntegers"])]
}
