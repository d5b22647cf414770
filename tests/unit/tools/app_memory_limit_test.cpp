// How much memory packets may take.
#include <gtest/gtest.h>

#include "tools/hatsd-user/daemon/memory_limit.hpp"

namespace hats::app {
namespace {

TEST(MemoryLimitTest, TheKernelsFilesAreRead) {
  EXPECT_EQ(parse_cgroup_limit("67108864\n"), 67'108'864U);
  EXPECT_EQ(parse_cgroup_limit("max\n"), std::nullopt);
  EXPECT_EQ(parse_cgroup_limit(""), std::nullopt);
  EXPECT_EQ(parse_mem_total("Foo:  1 kB\nMemTotal:        2048 kB\nMemFree: 9 kB\n"), 2'097'152U);
  EXPECT_EQ(parse_mem_total("MemFree: 9 kB\n"), std::nullopt);
  EXPECT_EQ(parse_mem_total("MemTotal: lots\n"), std::nullopt);
}

TEST(MemoryLimitTest, TheMemoryControllersHierarchyComesBeforeTheUnifiedOne) {
  EXPECT_EQ(parse_cgroup_path("0::/user.slice/x\n").path, "/user.slice/x");
  EXPECT_TRUE(parse_cgroup_path("0::/user.slice/x\n").unified);
  const auto both = parse_cgroup_path("0::/u\n12:memory:/docker/a:b\n3:cpu,cpuacct:/c\n");
  EXPECT_EQ(both.path, "/docker/a:b");
  EXPECT_FALSE(both.unified);
  EXPECT_EQ(parse_cgroup_path("").path, "");
  EXPECT_EQ(parse_cgroup_path("nonsense\n1:\n").path, "");
}

TEST(MemoryLimitTest, WorkersShareItAndNoneGetsLessThanItCanWorkWith) {
  constexpr uint64_t kMib = 1024 * 1024;
  EXPECT_EQ(slabs_for(1'024 * kMib, 1), 192U);
  EXPECT_EQ(slabs_for(8 * kMib, 1), 126U);
  EXPECT_EQ(slabs_for(8 * kMib, 3), 42U);
  EXPECT_EQ(slabs_for(1, 1), 24U);
  EXPECT_EQ(slabs_for(8 * kMib, 64), 24U);
  EXPECT_EQ(slabs_of_setting(4, 2), slabs_for(4 * kMib, 2));
  EXPECT_GE(slabs_of_setting(0, 1), 24U);
}

TEST(MemoryLimitTest, ThisMachineHasSome) {
  EXPECT_GT(memory_available(), 1024U * 1024U);
}

}  // namespace
}  // namespace hats::app
