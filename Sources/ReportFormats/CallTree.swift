import TraceModel

/// Outstanding memory as a tree of callers or of callees.
struct CallTree {
  final class Node {
    let name: String
    var outstanding = Tally()
    private(set) var children: [Node] = []
    private var positions: [String: Int] = [:]

    init(name: String) { self.name = name }

    func child(_ name: String) -> Node {
      if let position = positions[name] { return children[position] }
      let node = Node(name: name)
      positions[name] = children.count
      children.append(node)
      return node
    }

    func sort() {
      children.sort { ($0.outstanding.bytes, $1.name) > ($1.outstanding.bytes, $0.name) }
      positions = [:]
      for child in children { child.sort() }
    }
  }

  let root: Node

  /// - Parameters:
  ///   - paths: names from the root of the tree on, with what is outstanding there.
  ///   - name: of the root.
  init(name: String, paths: some Sequence<(names: [String], outstanding: Tally)>) {
    root = Node(name: name)
    for (names, outstanding) in paths {
      var node = root
      node.outstanding += outstanding
      for name in names {
        node = node.child(name)
        node.outstanding += outstanding
      }
    }
    root.sort()
  }
}
