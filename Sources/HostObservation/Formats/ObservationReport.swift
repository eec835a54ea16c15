/// What an observation found, for every format.
package struct ObservationReport: Sendable {
  package struct Entry: Sendable {
    package var series: RankedSeries
    package var profile: TargetProfile?
    package var next: NextStep?
    package init(series: RankedSeries, profile: TargetProfile? = nil, next: NextStep? = nil) {
      self.series = series
      self.profile = profile
      self.next = next
    }
  }

  package var startInUnixSeconds: Double
  package var duration: Duration
  package var samples: Int
  package var intervalInSeconds: Double
  package var totalBytes: UInt64
  package var availableBytes: UInt64
  /// How many series were looked at, by kind.
  package var counts: [SeriesKey.Kind: Int]
  /// Growing ones first, the riskiest of them at the top.
  package var entries: [Entry]
  /// CPU seconds that each sample cost.
  package var secondsPerSample: Double
  package var notes: [String]

  package init(
    startInUnixSeconds: Double, duration: Duration, samples: Int, intervalInSeconds: Double, totalBytes: UInt64,
    availableBytes: UInt64, counts: [SeriesKey.Kind: Int], entries: [Entry], secondsPerSample: Double,
    notes: [String] = []
  ) {
    self.startInUnixSeconds = startInUnixSeconds
    self.duration = duration
    self.samples = samples
    self.intervalInSeconds = intervalInSeconds
    self.totalBytes = totalBytes
    self.availableBytes = availableBytes
    self.counts = counts
    self.entries = entries
    self.secondsPerSample = secondsPerSample
    self.notes = notes
  }

  package var growing: [Entry] { entries.filter { $0.series.judgement.word == .growing } }
}
