import HostCapabilities
import Testing

@Suite struct DiagnosisTests {
  private let costs = ProbeCosts(emulated: 600, stepped: 10_000, method: "uprobe.multi")

  @Test func isReadyUnlessSomethingFails() {
    let works = CapabilityCheck(.kernel, "version", .works, "Linux 6.18", remedy: "none")
    let degraded = CapabilityCheck(.programs, "bpf_loop", .degraded, "unknown", remedy: "Linux 5.17")
    let fails = CapabilityCheck(.programs, "load", .fails, "Operation\u{1b} not permitted", remedy: "sudo")
    let good = HostDiagnosis(checks: [works, degraded], costs: costs)
    #expect(good.isReady)
    #expect(DiagnosisReport.text(good).hasSuffix("leaktrace works here.\n"))
    #expect(DiagnosisReport.text(good).contains("do: Linux 5.17"))
    #expect(!DiagnosisReport.text(good).contains("do: none"))
    let bad = HostDiagnosis(checks: [works, fails], costs: nil)
    #expect(!bad.isReady)
    #expect(DiagnosisReport.text(bad).hasSuffix("leaktrace cannot trace here: BPF programs: load.\n"))
    #expect(!DiagnosisReport.text(bad).contains("\u{1b}"))
    #expect(
      DiagnosisReport.json(bad).hasPrefix(
        #"{"schema":"leaktrace.doctor/1","ready":false,"checks":[{"area":"kernel","name":"version","status":"works""#))
    #expect(DiagnosisReport.json(bad).contains(#""costs":null,"forecast":null"#))
  }

  @Test func forecastsByRateAndCost() {
    let forecast = OverheadForecast(
      processID: 1, hitsPerSecond: 100_000, ownCPUs: 0.5, secondsMeasured: 1, costs: costs, steppedShare: 0)
    // 100,000 hits of 1,250 ns, and of 750 ns with a sample.
    #expect(abs(forecast.fullCPUs - 0.125) < 1e-9)
    #expect(abs(forecast.sampledCPUs - 0.075) < 1e-9)
    let stepped = OverheadForecast(
      processID: 1, hitsPerSecond: 100_000, ownCPUs: 0.5, secondsMeasured: 1, costs: costs, steppedShare: 0.5)
    #expect(abs(stepped.fullCPUs - 0.595) < 1e-9)
  }
}
