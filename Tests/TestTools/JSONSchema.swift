import Glibc

/// Validates documents with Debian's python3-jsonschema.
package enum JSONSchema {
  private static let python = "/usr/bin/python3"

  package static let isAvailable =
    access(python, X_OK) == 0 && (try? run([python, "-c", "import jsonschema"])) != nil

  /// Throws with the place and the reason when a document is not valid.
  ///
  /// - Parameters:
  ///   - documents: one JSON text each, on one line.
  ///   - schema: path of a JSON Schema, draft 2020-12.
  package static func validate(_ documents: [String], schema: String) throws(ToolFailure) {
    let directory = try TemporaryDirectory()
    let path = try directory.write("documents.json", documents.joined(separator: "\n") + "\n")
    let script = """
      import json, sys, jsonschema
      schema = json.load(open(sys.argv[1]))
      validator = jsonschema.Draft202012Validator(schema)
      for line in open(sys.argv[2], encoding='utf-8'):
          document = json.loads(line, parse_constant=lambda name: sys.exit(name))
          for error in validator.iter_errors(document):
              sys.exit(f"{list(error.absolute_path)}: {error.message}")
      """
    try run([python, "-c", script, schema, path])
  }
}
