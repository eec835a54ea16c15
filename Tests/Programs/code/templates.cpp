// Allocates from many places deep inside the standard library's templates: templates TEXTS, that many documents are parsed with regular
// expressions, kept in maps and printed again. It is also what compilers are measured on.
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <regex>
#include <sstream>
#include <string>
#include <variant>
#include <vector>

namespace documents {

struct Value;
using List = std::vector<Value>;
using Record = std::map<std::string, Value>;

struct Value {
  std::variant<double, std::string, std::shared_ptr<List>, std::shared_ptr<Record>> content;
};

class Parser {
 public:
  explicit Parser(const std::string &text) {
    static const std::regex token(R"(\s*("(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?|[\[\]{},:]))");
    for (std::sregex_iterator match(text.begin(), text.end(), token), end; match != end; ++match)
      tokens_.push_back((*match)[1]);
  }

  Value parse() {
    std::string token = next();
    if (token == "[") return {parseList()};
    if (token == "{") return {parseRecord()};
    if (token[0] == '"') return {token.substr(1, token.size() - 2)};
    return {std::stod(token)};
  }

 private:
  std::shared_ptr<List> parseList() {
    auto list = std::make_shared<List>();
    while (peek() != "]") {
      list->push_back(parse());
      if (peek() == ",") next();
    }
    next();
    return list;
  }

  std::shared_ptr<Record> parseRecord() {
    auto record = std::make_shared<Record>();
    while (peek() != "}") {
      std::string key = next();
      next();
      record->emplace(key.substr(1, key.size() - 2), parse());
      if (peek() == ",") next();
    }
    next();
    return record;
  }

  const std::string &peek() const { return tokens_.at(position_); }
  std::string next() { return tokens_.at(position_++); }

  std::vector<std::string> tokens_;
  std::size_t position_ = 0;
};

void print(const Value &value, std::ostream &output) {
  struct Printer {
    std::ostream &output;
    void operator()(double number) const { output << number; }
    void operator()(const std::string &text) const { output << '"' << text << '"'; }
    void operator()(const std::shared_ptr<List> &list) const {
      output << '[';
      std::for_each(list->begin(), list->end(), [this](const Value &item) {
        print(item, output);
        output << ',';
      });
      output << ']';
    }
    void operator()(const std::shared_ptr<Record> &record) const {
      output << '{';
      for (const auto &[key, item] : *record) {
        output << std::regex_replace(key, std::regex("[^a-z]+"), "_") << ':';
        print(item, output);
      }
      output << '}';
    }
  };
  std::visit(Printer{output}, value.content);
}

// Groups in groups: the compiler of expressions calls itself for each.
bool matches(const std::string &text, int depth) {
  std::string pattern = "[a-f]+";
  for (int i = 0; i < depth; i++) pattern = "(?:" + pattern + "|(x{2,3}" + std::to_string(i) + ")?\\w*)";
  return std::regex_search(text, std::regex(pattern));
}

std::string compose(int number) {
  std::ostringstream text;
  text << "{\"name\": \"document " << number << "\", \"items\": [1, 2.5, \"three and a half of a longer text\"";
  for (int i = 0; i < number % 7; i++) text << ", {\"key " << i << "\": [[" << i << ", \"nested " << i << "\"]]}";
  text << "]}";
  return text.str();
}

}  // namespace documents

int main(int count, char **arguments) {
  int texts = count > 1 ? std::atoi(arguments[1]) : 1;
  std::map<std::string, documents::Value> shelf;
  std::size_t length = 0;
  for (int number = 0; number < texts; number++) {
    std::string text = documents::compose(number);
    std::function<documents::Value()> parse = [&text] { return documents::Parser(text).parse(); };
    auto place = shelf.insert_or_assign(text.substr(0, 24), parse()).first;
    std::ostringstream output;
    documents::print(place->second, output);
    length += output.str().size() + documents::matches(text, number % 8);
  }
  std::cout << length << '\n';
}
