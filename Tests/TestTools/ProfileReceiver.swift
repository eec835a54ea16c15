import FoundationEssentials

/// A server that takes profiles as Pyroscope and Parca do, and is as strict as they are: written in Python by their
/// documentation, so that it shares nothing with what it tests.
package final class ProfileReceiver {
  package let port: Int
  private let directory: TemporaryDirectory
  private let running: RunningProgram

  /// One request as the server saw it.
  package struct Received: Decodable, Sendable {
    package var service: String
    package var status: Int
    package var error: String
    package var labels: [String: String]
    package var headers: [String: String]
    /// The profile as it came, in a file; empty where it could not be taken.
    package var file: String
    package var bytes: Int
  }

  /// - Parameters:
  ///   - statuses: what the first requests are answered with; all others are taken. 0 closes the connection, −1 never
  ///     answers.
  ///   - token: what must come as a bearer token.
  package init(statuses: [Int] = [], token: String = "", port: Int = 0) throws(ToolFailure) {
    directory = try TemporaryDirectory()
    let script = try directory.write("receiver.py", Self.script)
    running = try RunningProgram([
      "python3", script, directory.path, statuses.map(String.init).joined(separator: ","), token, String(port),
    ])
    self.port = Int(running.readLine(timeout: patience)) ?? 0
    guard self.port > 0 else { throw ToolFailure(command: "receiver.py", status: 0, output: "it does not start") }
  }

  /// The next request; nil where none comes in time.
  package func next(timeout: Double = patience) -> Received? {
    try? JSONDecoder().decode(Received.self, from: Data(running.readLine(timeout: timeout).utf8))
  }

  private static let script = #"""
    import base64, gzip, http.server, json, re, sys, time, urllib.parse
    directory, statuses, token = sys.argv[1], [int(s) for s in sys.argv[2].split(",") if s], sys.argv[3]
    count = 0

    def pyroscope(path, query, headers, body):
        # Names and labels as the server's own parser reads them: a value ends at a comma or a brace.
        for key in ("name", "from", "until"):
            if len(query.get(key, [])) != 1: raise ValueError(key + " is required")
        if query["format"] != ["pprof"]: raise ValueError("another format")
        int(query["from"][0]), int(query["until"][0])
        match = re.fullmatch(r"([A-Za-z0-9_./-]+)\{([^{}]*)\}", query["name"][0])
        if not match: raise ValueError("name " + query["name"][0])
        labels = {"service_name": match[1]}
        for pair in match[2].split(","):
            key, value = pair.split("=")
            if not re.fullmatch(r"[A-Za-z0-9_.]+", key): raise ValueError("label " + key)
            labels[key] = value
        return labels, body

    def parca(path, query, headers, body):
        if headers.get("content-type") != "application/json": raise ValueError("content-type")
        request = json.loads(body)
        if set(request) - {"tenant", "series", "normalized"}: raise ValueError("unknown fields")
        (series,) = request["series"]
        labels = {}
        for label in series["labels"]["labels"]:
            if set(label) != {"name", "value"}: raise ValueError("label")
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", label["name"]): raise ValueError("invalid label name")
            if label["name"] in labels: raise ValueError("duplicate label name")
            labels[label["name"]] = label["value"]
        if not labels.get("__name__"): raise ValueError("missing __name__")
        (sample,) = series["samples"]
        return labels, base64.b64decode(sample["rawProfile"], validate=True)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def do_POST(self):
            global count
            headers = {k.lower(): v for k, v in self.headers.items()}
            body = self.rfile.read(int(headers["content-length"]))
            parts = urllib.parse.urlsplit(self.path)
            query = urllib.parse.parse_qs(parts.query, strict_parsing=True) if parts.query else {}
            service = {"/ingest": "pyroscope", "/prefix/ingest": "pyroscope", "/api/profiles/writeraw": "parca"}.get(
                parts.path, "")
            seen = {"service": service, "status": 200, "error": "", "labels": {}, "headers": headers, "file": "",
                    "bytes": len(body)}
            if statuses:
                seen["status"] = statuses.pop(0)
            elif token and headers.get("authorization") != "Bearer " + token:
                seen["status"], seen["error"] = 401, "no token"
            elif not service:
                seen["status"], seen["error"] = 404, "no such path: " + parts.path
            else:
                try:
                    take = pyroscope if service == "pyroscope" else parca
                    seen["labels"], profile = take(parts.path, query, headers, body)
                    gzip.decompress(profile)
                    count += 1
                    seen["file"] = f"{directory}/{count}.pb.gz"
                    with open(seen["file"], "wb") as file: file.write(profile)
                except Exception as error:
                    seen["status"], seen["error"] = 400, str(error)
            print(json.dumps(seen), flush=True)
            if seen["status"] == -1:
                time.sleep(3600)
            if seen["status"] <= 0:
                self.close_connection = True
                return
            text = b"{}" if seen["status"] == 200 else (seen["error"] or "scripted").encode() + b"\n"
            self.send_response(seen["status"])
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
        def log_message(self, *arguments): pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[4])), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
    """#
}
