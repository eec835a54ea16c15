import TraceModel

/// What a report says of single stacks and blocks, and beside its sums.
extension JSONDocument {
  struct HeldBy: Decodable {
    struct Step: Decodable {
      var function: String?
      var file: String?
      var line: Int?
      var container: String?
      var count: UInt64
      var sameSite: Bool
    }
    var kind: Holder.Kind
    var name: String?
    var type: String?
    var module: String?
    var file: String?
    var line: Int?
    var threadId: Int32?
    var threadName: String?
    var through: [Step]
    var passesOldMemory: Bool?
    var bytes: UInt64
    var count: UInt64
    var share: Double

    var holder: Holder {
      var holder = Holder(
        kind: kind, name: name, type: type, module: module, file: file, line: line, threadID: threadId,
        threadName: threadName,
        through: through.map {
          var step = Holder.Step(
            function: $0.function, file: $0.file, line: $0.line, count: $0.count, isSameSite: $0.sameSite)
          step.container = $0.container
          return step
        }, held: Tally(bytes: bytes, count: count), share: share)
      holder.passesOldMemory = passesOldMemory
      return holder
    }
  }

  struct FreedAt: Decodable {
    var share: Double
    var sampledCount: UInt64
    var frames: [NamedFrame]
    var place: FreePlace { FreePlace(frames: frames.map(\.frame), sampledCount: sampledCount, share: share) }
  }

  struct Course: Decodable {
    var seconds: [Double]
    var bytes: [UInt64]
    var course: SiteCourse? { seconds.count == bytes.count ? SiteCourse(seconds: seconds, bytes: bytes) : nil }
  }

  struct Share: Decodable {
    var pid: Int32
    var outstanding: Amount
    var allocated: Amount
    var freed: Amount
    var growth: Growth?

    func share(of site: AllocationSite) -> SiteShare {
      var share = SiteShare(site)
      share.processID = pid
      (share.outstanding, share.allocated, share.freed) = (outstanding.tally, allocated.tally, freed.tally)
      share.growth = growth?.evidence
      return share
    }
  }

  struct Allocation: Decodable {
    var address: String
    var size: UInt64
    var ageSeconds: Double
    var verdict: String
    var keeps: Amount
    var holder: String?
    var firstBytes: String?

    var allocation: OutstandingAllocation {
      let kind = VerdictKind(rawValue: verdict) ?? .unchecked
      let isChecked = kind != .unchecked || keeps.count > 0 || holder != nil
      return OutstandingAllocation(
        address: JSONReportReader.address(address), sizeInBytes: size, age: JSONReportReader.duration(ageSeconds),
        verdict: isChecked ? BlockVerdict(kind: kind, keeps: keeps.tally, holder: holder) : nil,
        firstBytes: bytes(of: firstBytes ?? ""))
    }

    private func bytes(of digits: String) -> [UInt8] {
      let values = digits.map { UInt8($0.hexDigitValue ?? 0) }
      return stride(from: 0, to: values.count - 1, by: 2).map { values[$0] << 4 | values[$0 + 1] }
    }
  }

  struct Probe: Decodable {
    var function: String
    var object: String
    var offset: UInt64
    var instruction: String
    var emulated: Bool
    var kind: String
    var hits: UInt64

    var probe: Report.Probe? {
      Report.Probe.Kind(rawValue: kind).map {
        Report.Probe(
          function: function, object: object, offset: offset, instruction: instruction, isEmulated: emulated, kind: $0,
          hits: hits)
      }
    }
  }

  struct Suppression: Decodable {
    var pattern: String
    var bytes: UInt64
    var count: UInt64
    var use: SuppressionUse { SuppressionUse(pattern: pattern, matched: Tally(bytes: bytes, count: count)) }
  }

  struct Explanation: Decodable {
    struct Block: Decodable {
      var address: String
      var size: UInt64
      var verdict: VerdictKind
    }
    struct Step: Decodable {
      var holder: String
      var pointer: String?
      var link: BlockExplanation.Link
      var targetAddress: String
      var targetSize: UInt64
    }
    var pid: Int32
    var address: String
    var block: Block?
    var steps: [Step]

    var explanation: BlockExplanation {
      BlockExplanation(
        processID: pid, address: JSONReportReader.address(address),
        block: block.map {
          BlockExplanation.Block(
            address: JSONReportReader.address($0.address), sizeInBytes: $0.size, kind: $0.verdict)
        },
        steps: steps.map {
          BlockExplanation.Step(
            holder: $0.holder, pointer: $0.pointer.map(JSONReportReader.address),
            targetAddress: JSONReportReader.address($0.targetAddress), targetSizeInBytes: $0.targetSize, link: $0.link)
        })
    }
  }

  struct Retention: Decodable {
    var pid: Int32
    var residentHeapBytes: UInt64
    var mappedHeapBytes: UInt64
    var outstandingBytes: UInt64
    var residentHeapGrowth: Int64
    var outstandingGrowth: Int64
    var finding: String?

    var summary: RetentionSummary {
      RetentionSummary(
        processID: pid, residentHeapBytes: residentHeapBytes, mappedHeapBytes: mappedHeapBytes,
        outstandingBytes: outstandingBytes, residentHeapGrowth: residentHeapGrowth,
        outstandingGrowth: outstandingGrowth, finding: finding)
    }
  }

  struct MemoryLimit: Decodable {
    var leftBytes: UInt64
    var name: String
  }

  struct KernelShare: Decodable {
    var pid: Int32?
    var command: String?
    var outstandingBytes: UInt64
    var outstandingCount: UInt64
    var share: KernelSiteDetails.Share {
      KernelSiteDetails.Share(
        processID: pid ?? 0, command: command, outstanding: Tally(bytes: outstandingBytes, count: outstandingCount))
    }
  }

  struct KernelMemory: Decodable {
    struct Hook: Decodable {
      var name: String
      var method: String?
      var detail: String?
    }
    struct Part: Decodable {
      var name: String
      var bytes: UInt64
      var changeBytes: Int64?
      var tracedBytes: UInt64?
      var kernel: Bool
    }
    struct Cache: Decodable {
      var name: String
      var bytes: UInt64
      var activeChange: Int64
      var tracedBytes: UInt64
      var tracedCount: UInt64
    }
    struct Use: Decodable {
      var name: String
      var aliases: [String]
      var bytes: UInt64
      var count: UInt64
      var reclaimable: Bool
      var use: KernelMemorySummary.Use {
        KernelMemorySummary.Use(
          name: name, aliases: aliases, bytes: bytes, count: count, isReclaimable: reclaimable)
      }
    }
    struct LeftOut: Decodable {
      var reason: String
      var outstandingBytes: UInt64
      var outstandingCount: UInt64
    }
    var hooks: [Hook]
    var shares: [Part]
    var caches: [Cache]
    var slabUse: [Use]?
    var vmallocUse: [Use]?
    var leftOut: [LeftOut]
    var counters: [String: UInt64]
    var processes: [KernelShare]?
    var findings: [String]

    func summary(_ described: ([String: UInt64]) -> [Report.LossCounter]) -> KernelMemorySummary {
      var summary = KernelMemorySummary(
        shares: shares.map {
          KernelMemorySummary.Share(
            name: $0.name, bytes: $0.bytes, change: $0.changeBytes, traced: $0.tracedBytes, isKernel: $0.kernel)
        },
        caches: caches.map {
          KernelMemorySummary.CacheChange(
            name: $0.name, bytes: $0.bytes, activeChange: $0.activeChange,
            traced: Tally(bytes: $0.tracedBytes, count: $0.tracedCount))
        },
        leftOut: leftOut.map {
          KernelMemorySummary.LeftOut(
            reason: $0.reason, outstanding: Tally(bytes: $0.outstandingBytes, count: $0.outstandingCount))
        }, counters: described(counters), processes: (processes ?? []).map(\.share),
        hooks: hooks.map { KernelMemorySummary.Hook(name: $0.name, method: $0.method, detail: $0.detail) },
        findings: findings)
      summary.slabUse = (slabUse ?? []).map(\.use)
      summary.vmallocUse = (vmallocUse ?? []).map(\.use)
      return summary
    }
  }
}
