// A program with a data race on purpose: the namespace tests show with it that they do not overlook one.
#include <thread>

int main() {
  int shared = 0;
  std::thread other([&] { ++shared; });
  ++shared;
  other.join();
  return shared == 0;
}
