import Foundation
import Glibc
import TestTools
import Testing
import Watch

@Suite struct WatchOptionTests {
  private static let root = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }

  @Test func everyNameIsThereOnceAndSaysWhatItIsFor() {
    #expect(Set(WatchOption.all.map(\.name)).count == WatchOption.all.count)
    for option in WatchOption.all {
      #expect(option.name.allSatisfy { $0.isLowercase || $0 == "-" })
      #expect(!option.summary.isEmpty && !option.summary.hasSuffix("."))
      #expect(option.usual != nil || !option.example.isEmpty, "\(option.name)")
    }
  }

  /// What is written of a value is what is read, for the values by default and for the examples.
  @Test(arguments: WatchOption.all.map(\.name)) func valuesAreReadAsTheyAreWritten(name: String) throws {
    let option = try #require(WatchOption.named(name))
    var configuration = WatchConfiguration()
    let value = option.usual ?? option.example
    #expect(WatchConfigurationFile.apply("\(name) = \(value)\n", to: &configuration) == [])
    #expect(option.values(configuration) == [value])
    if option.usual != nil { #expect(configuration == WatchConfiguration()) }
  }

  @Test(arguments: [
    ("budget", "0.5%", "0.5%"), ("budget", "0.25", "25%"), ("interval", "90s", "90s"), ("interval", "120", "2m"),
    ("retention", "48h", "2d"), ("history-size", "1536K", "1536K"), ("alert-growth", "1000", "1000"),
    ("alert-growth", "2048M", "2G"), ("listen", "off", "off"), ("arm", "no", "no"), ("alert-forecast", "0", "0s"),
  ])
  func valuesAreWrittenBriefly(name: String, value: String, written: String) throws {
    var configuration = WatchConfiguration()
    #expect(WatchConfigurationFile.apply(key: name, value: value, to: &configuration) == [])
    #expect(WatchOption.named(name)?.values(configuration) == [written])
  }

  @Test func repeatedValuesAddUpAndAFileBeginsAnew() {
    var configuration = WatchConfiguration()
    configuration.targets = [.process(1)]
    #expect(WatchConfigurationFile.apply("target = pid:2\ntarget = comm:a\n", to: &configuration) == [])
    #expect(WatchOption.named("target")?.values(configuration) == ["pid:2", "comm:a"])
    #expect(WatchConfigurationFile.apply(key: "target", value: "unit:b.service", to: &configuration) == [])
    #expect(configuration.targets.count == 3)
  }

  @Test func helpNamesTheValueByDefault() {
    #expect(WatchOption.named("interval")?.help == "Time between two looks at the host (10s).")
    #expect(WatchOption.named("history")?.help == "Keep the history in this file.")
    #expect(WatchOption.named("push-label")?.help == "Label of all profiles sent: NAME=VALUE; can be repeated.")
  }

  @Test func aReloadDoesWhatTheChangedSettingsAskFor() {
    let old = WatchConfiguration()
    #expect(WatchOption.reloads(from: old, to: old).isEmpty)
    var new = old
    new.budget = 0.5
    new.targets = [.process(1)]
    #expect(WatchOption.reloads(from: old, to: new).isEmpty)
    new.lookback = 7200
    new.listen = nil
    #expect(WatchOption.reloads(from: old, to: new) == [.trends, .server])
  }

  /// Every setting that a watch has can be set: a new one without an entry in the table shows here.
  @Test func theTableHasEverySettingOfTheConfiguration() {
    let settings = Mirror(reflecting: WatchConfiguration()).children.count - 1
    // The settings for sending profiles are a value of their own, with one entry for each service.
    let push = Mirror(reflecting: PushSettings()).children.count - 1 + PushService.all.count
    #expect(WatchOption.all.count == settings + push)
  }

  // MARK: Documents. LEAKTRACE_UPDATE_GOLDEN=1 writes them.

  @Test func theSampleFileIsThatOfTheTable() throws {
    let path = Self.root + "/packaging/watch.conf"
    try check(path, WatchOption.sampleFile)
    var configuration = WatchConfiguration()
    #expect(WatchConfigurationFile.apply(WatchOption.sampleFile, to: &configuration) == [])
    #expect(configuration == WatchConfiguration())
  }

  @Test func theDocumentationIsThatOfTheTable() throws {
    let path = Self.root + "/docs/watch.md"
    let text = String(decoding: contents(of: path), as: UTF8.self)
    let begin = try #require(text.range(of: "<!-- settings -->\n"))
    let end = try #require(text.range(of: "<!-- end of settings -->"))
    try check(
      path, text[..<begin.upperBound] + WatchOption.documentation + text[end.lowerBound...])
  }

  private func check(_ path: String, _ text: some StringProtocol) throws {
    if getenv("LEAKTRACE_UPDATE_GOLDEN") != nil {
      let file = try #require(fopen(path, "w"))
      fputs(String(text), file)
      fclose(file)
    }
    #expect(String(decoding: contents(of: path), as: UTF8.self) == String(text))
  }
}
