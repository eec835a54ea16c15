// A small HTTP server that leaks: session-server [PORT]. Prints the port it listens on; 0, the default, lets the
// kernel choose. For trying leaktrace on: three requests, two of them with a leak of a common kind.
//
//   GET /login    opens a session and never closes one: the table only grows
//   GET /report   forgets a buffer on its error path, every fourth time
//   GET /health   frees all it allocates
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace shop {

struct Session {
  std::string user;
  std::vector<char> cart;
};

class SessionStore {
 public:
  // Opens a session. Nothing ever erases it.
  __attribute__((noinline)) const Session &open(const std::string &user) {
    auto session = std::make_unique<Session>();
    session->user = user;
    session->cart.resize(2048);
    return *sessions.emplace(nextIdentifier++, std::move(session)).first->second;
  }

 private:
  std::map<long, std::unique_ptr<Session>> sessions;
  long nextIdentifier = 1;
};

// Renders into a buffer of its own, which the early return forgets.
__attribute__((noinline)) std::string renderReport(long number) {
  char *buffer = static_cast<char *>(std::malloc(1024));
  std::snprintf(buffer, 1024, "report %ld", number);
  if (number % 4 == 0) return "nothing to report";
  std::string text = buffer;
  std::free(buffer);
  return text;
}

class RequestHandler {
 public:
  __attribute__((noinline)) std::string handle(const std::string &path) {
    served++;
    if (path == "/login") return login();
    if (path == "/report") return renderReport(served);
    return "ok";
  }

 private:
  __attribute__((noinline)) std::string login() {
    return "welcome, " + store.open("visitor number " + std::to_string(served)).user;
  }

  SessionStore store;
  long served = 0;
};

}  // namespace shop

// Reads up to the blank line that ends a request. False when the client is gone or sends too much.
static bool readRequest(int connection, char *request, size_t capacity) {
  size_t size = 0;
  while (size < capacity - 1) {
    ssize_t count = read(connection, request + size, capacity - 1 - size);
    if (count <= 0) return false;
    size += count;
    request[size] = 0;
    // At once, or a client that sends a request in pieces waits 40 ms for it.
    int yes = 1;
    setsockopt(connection, IPPROTO_TCP, TCP_QUICKACK, &yes, sizeof yes);
    if (std::strstr(request, "\r\n\r\n")) return true;
  }
  return false;
}

static bool answerOne(int connection, shop::RequestHandler &handler) {
  char request[4096];
  if (!readRequest(connection, request, sizeof request)) return false;
  std::string path;
  if (const char *start = std::strchr(request, ' ')) path.assign(start + 1, std::strcspn(start + 1, " \r\n"));
  std::string body = handler.handle(path) + "\n";
  std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  return write(connection, answer.data(), answer.size()) == static_cast<ssize_t>(answer.size());
}

static void serve(int listener) {
  shop::RequestHandler handler;
  for (;;) {
    int connection = accept(listener, nullptr, nullptr);
    if (connection < 0) continue;
    while (answerOne(connection, handler)) {
    }
    close(connection);
  }
}

int main(int argc, char **argv) {
  std::signal(SIGPIPE, SIG_IGN);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(argc > 1 ? std::atoi(argv[1]) : 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0 || bind(listener, reinterpret_cast<sockaddr *>(&address), length) || listen(listener, 16) ||
      getsockname(listener, reinterpret_cast<sockaddr *>(&address), &length)) {
    std::perror("session-server");
    return 1;
  }
  std::printf("%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  std::thread(serve, listener).join();
}
