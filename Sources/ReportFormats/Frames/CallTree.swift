import TraceModel

/// Outstanding memory as a tree of callers or of callees.
struct CallTree {
  final class Node {
    let name: String
    fileprivate let id: Int
    var outstanding = Tally()
    private(set) var children: [Node] = []
    /// The children by name, where there are many of them.
    private var positions: [Int: Int] = [:]

    fileprivate init(name: String, id: Int) {
      self.name = name
      self.id = id
    }

    fileprivate func child(_ id: Int, _ names: [String]) -> Node {
      if children.count <= 8 {
        for child in children where child.id == id { return child }
        if children.count == 8 {
          for (position, child) in children.enumerated() { positions[child.id] = position }
        }
      } else if let position = positions[id] {
        return children[position]
      }
      let node = Node(name: names[id], id: id)
      if children.count >= 8 { positions[id] = children.count }
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
  ///   - name: of the root.
  ///   - fromLeaf: whether the leaf of a stack is next to the root, or the outermost caller.
  init(name: String, stacks: NamedStacks, fromLeaf: Bool) {
    root = Node(name: name, id: -1)
    for entry in stacks.entries {
      var node = root
      node.outstanding += entry.outstanding
      for index in entry.path.indices {
        node = node.child(entry.path[fromLeaf ? index : entry.path.count - 1 - index], stacks.names)
        node.outstanding += entry.outstanding
      }
    }
    root.sort()
  }
}
