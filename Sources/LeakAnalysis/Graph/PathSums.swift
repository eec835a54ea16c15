import TraceModel

/// Where paths to blocks begin.
package struct PathBeginning: Hashable, Sendable {
  package var place: Place
  /// Of the pointer; nil where it was not kept.
  package var address: UInt64?

  package enum Place: Hashable, Sendable {
    case root(Root)
    case value(RootValue)
    case unknown
  }
}

/// The paths that lead from one holder to the reachable blocks of one site, added up.
package struct PathSum: Sendable {
  /// The number that the beginnings were given.
  package var holder: Int
  package var held: Tally
  /// By the blocks of which sites most of them lead, the nearest to the root first; and how many blocks these have there.
  package var through: [(tag: UInt32, count: UInt64)]
  /// Whether most of the blocks are held by others of their own site, as in a list.
  package var isChained: Bool
}

extension Reachability {
  /// Adds up the paths to all blocks that something leads to, be it into their middle, by the tags of the blocks and the holders that they begin with.
  ///
  /// One pass over the blocks; what is kept of paths is bounded. Empty when the search did not note holders.
  ///
  /// - Parameter number: gives each beginning the number of a holder, which several can have in common.
  package func addUpPaths(_ number: (PathBeginning) -> Int) -> [UInt32: [PathSum]] {
    guard let forest = context.forest else { return [:] }
    var paths = PathTree()
    var addresses: [UInt32: UInt64] = [:]
    for place in rootPlaces where place.address != 0 { addresses[place.block] = place.address }
    // For each block one more than the number of its path, 0 while it is not known.
    let memory = PageMemory(of: UInt32.self, count: count)
    let pathOf = memory.elements(of: UInt32.self)
    var sums: [PathKey: Tally] = [:]
    var chain: [Int] = []
    for block in 0..<count where [.stillReachable, .possiblyLost].contains(kind(block)) {
      chain.removeAll(keepingCapacity: true)
      var current = block
      var path: UInt32 = 0
      // No block lies on its own path; should two threads have contradicted each other, the walk still ends.
      while true {
        if pathOf[current] != 0 {
          path = pathOf[current] - 1
          break
        }
        chain.append(current)
        guard case .block(let holder) = forest[current], holder != current, holder < count,
          chain.count <= count
        else {
          path = paths.beginning(number(beginning(of: current, forest, addresses)))
          chain.removeLast()
          pathOf[current] = path + 1
          break
        }
        current = holder
      }
      for next in chain.reversed() {
        path = paths.step(path, through: self.block(current).tag)
        pathOf[next] = path + 1
        current = next
      }
      sums[PathKey(path: path, tag: self.block(block).tag), default: Tally()] += Tally(
        bytes: context.index.size(block), count: 1)
    }
    withExtendedLifetime(memory) {}
    return paths.sums(of: sums)
  }

  private func beginning(of block: Int, _ forest: HolderForest, _ addresses: [UInt32: UInt64]) -> PathBeginning {
    switch forest[block] {
    case .root(let place):
      guard place < roots.count else { break }
      return PathBeginning(place: .root(roots[place]), address: addresses[UInt32(block)])
    case .value(let place):
      guard place < values.count else { break }
      return PathBeginning(place: .value(values[place]), address: nil)
    case .block, .nothing: break
    }
    return PathBeginning(place: .unknown, address: nil)
  }
}

private struct PathKey: Hashable {
  var path: UInt32
  var tag: UInt32
}

/// Paths as a tree: a holder, then the sites of the blocks on the way. Steps among blocks of one site count once.
private struct PathTree {
  private var nodes: [Node] = []
  private var beginnings: [Int: UInt32] = [:]
  private var steps: [PathKey: UInt32] = [:]

  private struct Node {
    var holder: Int
    var depth: Int
    var parent: UInt32?
    var tag: UInt32 = 0
  }

  private static let mostNodes = 1 << 18
  private static let mostSteps = 6

  mutating func beginning(_ holder: Int) -> UInt32 {
    if let known = beginnings[holder] { return known }
    let number = UInt32(nodes.count)
    nodes.append(Node(holder: holder, depth: 0, parent: nil))
    beginnings[holder] = number
    return number
  }

  /// The path that goes on behind blocks of a site. Too long a path ends, and too many are not told apart.
  mutating func step(_ path: UInt32, through tag: UInt32) -> UInt32 {
    let node = nodes[Int(path)]
    if node.parent != nil, node.tag == tag { return path }
    let key = PathKey(path: path, tag: tag)
    if let known = steps[key] { return known }
    guard node.depth < Self.mostSteps, nodes.count < Self.mostNodes else { return path }
    let number = UInt32(nodes.count)
    nodes.append(Node(holder: node.holder, depth: node.depth + 1, parent: path, tag: tag))
    steps[key] = number
    return number
  }

  func sums(of tallies: [PathKey: Tally]) -> [UInt32: [PathSum]] {
    struct Key: Hashable {
      var tag: UInt32
      var holder: Int
    }
    struct Sum {
      var held = Tally()
      var chained: UInt64 = 0
      var paths: [UInt32: Tally] = [:]
    }
    var gathered: [Key: Sum] = [:]
    for (key, tally) in tallies {
      let node = nodes[Int(key.path)]
      var path = key.path
      var isChained = false
      // A list's own blocks are no news on the way to it.
      if let parent = node.parent, node.tag == key.tag { (path, isChained) = (parent, true) }
      let place = Key(tag: key.tag, holder: node.holder)
      gathered[place, default: Sum()].held += tally
      gathered[place, default: Sum()].paths[path, default: Tally()] += tally
      if isChained { gathered[place, default: Sum()].chained &+= tally.count }
    }
    var result: [UInt32: [PathSum]] = [:]
    for (key, sum) in gathered {
      let main = sum.paths.max { ($0.value.bytes, $1.key) < ($1.value.bytes, $0.key) }
      var through: [(tag: UInt32, count: UInt64)] = []
      // What holds less than half goes a way of its own each.
      if let main, main.value.bytes >= sum.held.bytes / 2 {
        var path = main.key
        while let parent = nodes[Int(path)].parent {
          let tag = nodes[Int(path)].tag
          let before = tallies[PathKey(path: parent, tag: tag)]?.count ?? 0
          let within = tallies[PathKey(path: path, tag: tag)]?.count ?? 0
          through.append((tag, before &+ within))
          path = parent
        }
      }
      result[key.tag, default: []].append(
        PathSum(
          holder: key.holder, held: sum.held, through: through.reversed(),
          isChained: sum.chained > sum.held.count / 2))
    }
    return result.mapValues { $0.sorted { ($0.held.bytes, $1.holder) > ($1.held.bytes, $0.holder) } }
  }
}
