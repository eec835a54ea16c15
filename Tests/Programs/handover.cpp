// A server at work: threads make requests, hand them over through queues, keep some of what they get in a shared cache and
// in tables that grow by realloc all the time, and start short-lived threads. At every moment each block is referred to
// from a global variable, a stack, a register, thread-local memory or another block. Ends after the given seconds.
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "steps.h"

namespace {

struct Request {
  std::string name;
  std::vector<int> data;
  std::unique_ptr<Request> inner;
};

class Queue {
 public:
  bool isFull() {
    std::unique_lock<std::mutex> lock(mutex);
    return requests.size() > 100;
  }
  void push(std::unique_ptr<Request> request) {
    std::unique_lock<std::mutex> lock(mutex);
    requests.push_back(std::move(request));
    filled.notify_one();
  }
  std::unique_ptr<Request> pop() {
    std::unique_lock<std::mutex> lock(mutex);
    filled.wait(lock, [this] { return !requests.empty(); });
    auto request = std::move(requests.front());
    requests.pop_front();
    return request;
  }

 private:
  std::mutex mutex;
  std::condition_variable filled;
  std::deque<std::unique_ptr<Request>> requests;
};

Queue queues[4];
auto *cache = new std::unordered_map<std::string, std::shared_ptr<Request>>;
std::mutex cache_mutex;
thread_local std::vector<char *> copies;

NOINLINE void produce(unsigned seed) {
  for (unsigned number = 0;; number++) {
    if (queues[number % 4].isFull()) {
      usleep(50);
      continue;
    }
    auto request = std::make_unique<Request>();
    request->name = "request number " + std::to_string(rand_r(&seed));
    request->data.resize(rand_r(&seed) % 300);
    if (number % 3 == 0) {
      request->inner = std::make_unique<Request>();
      request->inner->name = request->name + ", and what belongs to it";
    }
    queues[number % 4].push(std::move(request));
  }
}

NOINLINE void consume(unsigned number) {
  unsigned seed = number;
  char *text = nullptr, **table = nullptr;
  size_t text_size = 16, count = 0;
  for (;;) {
    auto request = queues[number].pop();
    copies.push_back(strdup(request->name.c_str()));
    if (copies.size() > 50) {
      for (char *copy : copies)
        free(copy);
      copies.clear();
      copies.shrink_to_fit();
    }
    // What only this table refers to must not seem lost while realloc moves the table.
    table = static_cast<char **>(realloc(table, (count + 1) * sizeof(char *)));
    table[count] = static_cast<char *>(malloc(20 + count));
    count++;
    if (count > 2000) {
      for (size_t i = 0; i < count; i++)
        free(table[i]);
      free(table);
      table = nullptr;
      count = 0;
    }
    text = static_cast<char *>(realloc(text, text_size));
    text_size = text_size > 100000 ? 16 : text_size + 1000;
    std::shared_ptr<Request> kept = std::move(request);
    std::unique_lock<std::mutex> lock(cache_mutex);
    (*cache)[std::to_string(rand_r(&seed) % 1000)] = kept;
  }
}

NOINLINE void start_threads(unsigned seed) {
  for (;;) {
    auto work = std::make_unique<std::map<int, std::string>>();
    std::thread thread([&seed, work = std::move(work)] {
      for (int i = 0; i < 50; i++)
        (*work)[rand_r(&seed)] = std::string(100, 'x');
      usleep(500);
    });
    thread.join();
  }
}

}  // namespace

int main(int argument_count, char **arguments) {
  step();
  static std::vector<std::thread> threads;
  for (unsigned i = 0; i < 2; i++)
    threads.emplace_back(produce, i + 1);
  for (unsigned i = 0; i < 4; i++)
    threads.emplace_back(consume, i);
  threads.emplace_back(start_threads, 7);
  sleep(argument_count > 1 ? atoi(arguments[1]) : 3600);
  _exit(0);
}
