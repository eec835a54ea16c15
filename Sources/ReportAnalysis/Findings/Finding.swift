import TraceModel

/// The call stacks with the same first own frame, taken together: what a reader looks at first.
package struct Finding: Sendable {
  /// The frame; see ``OwnFrame``.
  package var frame: Frame
  package var place: OwnFrame.Place
  /// Positions of its sites in the report, the largest first.
  package var sites: [Int]
  /// What is outstanding in all of them.
  package var held: Tally
  /// The same by verdict; empty where no leak check looked at them.
  package var verdicts: [VerdictKind: Tally]
  /// nil where the run was too short for any.
  package var rate: GrowthRate?
  package var kind: Kind
  /// Its part of everything that grows, 0 to 1; nil where it does not count as growth.
  package var shareOfGrowth: Double?
  /// The processes that hold it, the largest first.
  package var processes: [ProcessShare]
  /// Who holds its reachable blocks, the most bytes first: what the paths to them begin at, or an interpreter's heap.
  package var holders: [HolderShare]
  /// Where such blocks are normally freed, most frees first; empty where nobody looked.
  package var freedAt: [FreePlace]
  /// For the kernel: the caches that the blocks are from.
  package var caches: [String]
  /// What it held at most, where it grew until its process freed it at its end.
  package var heldBeforeEnd: Tally?
  /// Why it may be no leak although it looks like one; nil when nothing speaks against one.
  package var doubt: String?

  /// What it is, from the surest leak to what needs no look.
  package enum Kind: String, Hashable, Sendable, CaseIterable {
    case definitelyLost = "definitely lost"
    case possiblyLost = "possibly lost"
    /// It grows, and the program can reach it, or nobody looked.
    case growing
    /// Too little or contradictory evidence.
    case unclear
    /// It rose and stays level.
    case plateau
    /// Nearly all of it was allocated at the beginning.
    case startup

    /// In which part of a list it stands.
    package var group: Group {
      switch self {
      case .definitelyLost, .possiblyLost, .growing: .leaking
      case .unclear: .unclear
      case .plateau, .startup: .bounded
      }
    }
  }

  package enum Group: Int, Hashable, Sendable, Comparable {
    case leaking, unclear, bounded
    package static func < (left: Group, right: Group) -> Bool { left.rawValue < right.rawValue }
  }

  /// One process's part of a finding.
  package struct ProcessShare: Hashable, Sendable {
    package var processID: Int32
    package var command: String?
    package var held: Tally
    package var rate: GrowthRate?
    package init(processID: Int32, command: String?, held: Tally, rate: GrowthRate?) {
      self.processID = processID
      self.command = command
      self.held = held
      self.rate = rate
    }
  }

  package struct HolderShare: Hashable, Sendable {
    /// In a sentence: `global sessions (cache.cpp:12)`.
    package var text: String
    /// Where there is little room: `sessions`; nil where it has no name.
    package var name: String?
    package var held: Tally
    /// Of the reachable bytes, 0 to 1; nil where it is not known.
    package var share: Double?
    package init(text: String, name: String?, held: Tally, share: Double?) {
      self.text = text
      self.name = name
      self.held = held
      self.share = share
    }
  }

  /// Definitely and indirectly lost.
  package var lost: Tally { verdicts.lost }

  /// Whether its rate counts as growth: it is sure to be above 0, or the growth is judged as such.
  package var isGrowing: Bool { growth == .growing }
  /// The word of its growth; nil where there is no evidence.
  package var growth: GrowthEvidence.Word?
}
