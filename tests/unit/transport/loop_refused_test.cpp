// Hosts that forbid io_uring: Docker's seccomp profile answers EPERM, old kernels ENOSYS.
#include <seccomp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "support.hpp"

namespace hats::transport::test {
namespace {

constexpr int kAsExpected = 0, kNoFilter = 77;

// In a child, whose filter dies with it: io_uring_setup answers `error`; then `check`.
int with_refused_uring(int error, bool (*check)(int)) {
  const pid_t child = fork();
  if (child == 0) {
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    const bool loaded = filter &&
                        seccomp_rule_add(filter, SCMP_ACT_ERRNO(static_cast<uint16_t>(error)),
                                         SCMP_SYS(io_uring_setup), 0) == 0 &&
                        seccomp_load(filter) == 0;
    _exit(!loaded ? kNoFilter : check(error) ? kAsExpected : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

class LoopRefusedTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Errno, LoopRefusedTest, ::testing::Values(EPERM, ENOSYS, EACCES, ENOMEM),
                         [](const auto& one) { return std::string(strerrorname_np(one.param)); });

TEST_P(LoopRefusedTest, AutomaticFallsBackToEpoll) {
  const int result = with_refused_uring(GetParam(), [](int) {
    const auto loop = Loop::make({});
    return loop && (*loop)->name() == "epoll";
  });
  if (result == kNoFilter) GTEST_SKIP() << "no seccomp filters here";
  EXPECT_EQ(result, kAsExpected);
}

TEST_P(LoopRefusedTest, AskedForItSaysWhy) {
  const int result = with_refused_uring(GetParam(), [](int error) {
    const auto loop = Loop::make({.io = IoChoice::uring, .slabs = 192, .uring_basic = false});
    return !loop && loop.error().find(std::strerror(error)) != std::string::npos;
  });
  if (result == kNoFilter) GTEST_SKIP() << "no seccomp filters here";
  EXPECT_EQ(result, kAsExpected);
}

TEST(LoopMakeTest, AnArenaOutOfBoundsIsRefused) {
  EXPECT_FALSE(Loop::make({.io = IoChoice::epoll, .slabs = 1, .uring_basic = false}));
  EXPECT_FALSE(Loop::make({.io = IoChoice::epoll, .slabs = 1'000'000, .uring_basic = false}));
}

TEST(LoopMakeTest, TheNameSaysWhichBackend) {
  EXPECT_EQ((*Loop::make({.io = IoChoice::epoll, .slabs = 24, .uring_basic = false}))->name(), "epoll");
  const auto loop = Loop::make({.io = IoChoice::uring, .slabs = 24, .uring_basic = true});
  if (!loop) GTEST_SKIP() << loop.error();
  EXPECT_EQ((*loop)->name(), "io_uring (no registered files)");
}

}  // namespace
}  // namespace hats::transport::test
