// AllowedIPs against a list that is searched from end to end.
#include "core/wg/allowed_ips.hpp"

#include <vector>

#include "tests/fuzz/input.hpp"

namespace hats::wg {
namespace {

constexpr PeerId kPeers = 4;
constexpr size_t kMostRows = 300;  // keeps the list quick

struct Row {
  Prefix prefix;
  PeerId peer;
};

/// Bytes taken from few values nest; a whole byte of input each for the last ones.
IpAddress address(fuzz::Input& input) {
  std::array<uint8_t, 16> bytes{};
  const bool v6 = (input.byte() & 1) != 0;
  const size_t size = v6 ? 16 : 4;
  const uint64_t pattern = v6 ? input.u32() : input.byte();
  for (size_t i = 0; i < size; ++i) {
    constexpr std::array<uint8_t, 4> kValues = {0, 0xff, 0x80, 0x55};
    bytes[i] = kValues[pattern >> 2 * i & 3];
  }
  bytes[size - 1] ^= input.byte();
  return v6 ? IpAddress::v6(bytes.data()) : IpAddress::v4(bytes.data());
}

Prefix prefix(fuzz::Input& input) {
  const IpAddress at = address(input);
  return Prefix{at, static_cast<uint8_t>(input.below(at.bit_count() + 1U))}.masked();
}

PeerId naive_lookup(const std::vector<Row>& rows, const IpAddress& at) {
  const Row* best = nullptr;
  for (const Row& row : rows) {
    if (row.prefix.contains(at) && (best == nullptr || row.prefix.length > best->prefix.length)) best = &row;
  }
  return best == nullptr ? kNoPeer : best->peer;
}

void run(fuzz::Input input) {
  AllowedIps table;
  std::vector<Row> rows;
  while (!input.empty()) {
    const uint8_t what = input.byte();
    const PeerId peer = what >> 6;
    if (what % 8 < 4 && rows.size() < kMostRows) {
      const Prefix added = prefix(input);
      table.insert(added, peer);
      std::erase_if(rows, [&](const Row& row) { return row.prefix == added; });
      rows.push_back({added, peer});
    } else if (what % 8 < 6) {
      const Prefix gone =
          rows.empty() || (what & 8) != 0 ? prefix(input) : rows[input.byte() % rows.size()].prefix;
      const bool known =
          std::erase_if(rows, [&](const Row& r) { return r.prefix == gone && r.peer == peer; }) != 0;
      HATS_FUZZ_CHECK(table.remove(gone, peer) == known);
    } else if (what % 8 == 6) {
      const IpAddress at = address(input);
      HATS_FUZZ_CHECK(table.lookup(at) == naive_lookup(rows, at));
    } else {
      table.remove_peer(peer);
      std::erase_if(rows, [&](const Row& row) { return row.peer == peer; });
    }
    HATS_FUZZ_CHECK(table.size() == rows.size());
  }
  for (const Row& row : rows) {
    HATS_FUZZ_CHECK(table.lookup(row.prefix.address) == naive_lookup(rows, row.prefix.address));
  }
  for (PeerId peer = 0; peer < kPeers; ++peer) {
    std::vector<Prefix> expected;
    for (const Row& row : rows) {
      if (row.peer == peer) expected.push_back(row.prefix);
    }
    HATS_FUZZ_CHECK(table.prefixes(peer) == expected);
  }
}

}  // namespace
}  // namespace hats::wg

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hats::wg::run({data, size});
  return 0;
}
