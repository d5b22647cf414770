// The words of `ip tunnel`, one a line: any are taken or refused with one printable line, and what was taken
// by `add` makes a tunnel that the limits of every option hold for, and that `change` with the same words
// leaves as it is.
#include <algorithm>
#include <string>
#include <vector>

#include "core/config/ip_tunnel.hpp"
#include "tests/fuzz/input.hpp"

namespace {

using namespace hats;

const config::DsfieldNames kNames = config::DsfieldNames::parse("0x28 AF11\n0xb8 EF\n");

void check_error(const std::string& error) {
  HATS_FUZZ_CHECK(!error.empty());
  HATS_FUZZ_CHECK(std::ranges::all_of(error, [](char c) { return c >= ' ' && c <= '~'; }));
}

void check_tunnel(const encap::TunnelConfig& tunnel) {
  HATS_FUZZ_CHECK(tunnel.remote.is_set());
  HATS_FUZZ_CHECK(!tunnel.local.is_set() || tunnel.local.family == tunnel.remote.family);
  HATS_FUZZ_CHECK(tunnel.kind == encap::Kind::gre || tunnel.outer() == Family::v4);
  HATS_FUZZ_CHECK(tunnel.kind == encap::Kind::gre ||
                  (!tunnel.in_key && !tunnel.out_key && !tunnel.in_checksum && !tunnel.out_sequence));
  HATS_FUZZ_CHECK(tunnel.ttl == 0 || tunnel.path_mtu_discovery || tunnel.ignore_df);
  HATS_FUZZ_CHECK(!tunnel.ignore_df || !tunnel.path_mtu_discovery);
  HATS_FUZZ_CHECK(tunnel.flow_label <= 0xFFFFF);
  HATS_FUZZ_CHECK(tunnel.keepalive.interval_s <= 32767 && tunnel.keepalive.retries <= 255);
  HATS_FUZZ_CHECK((tunnel.keepalive.interval_s == 0) == (tunnel.keepalive.retries == 0));
}

std::vector<std::string> lines_of(std::string text) {
  std::vector<std::string> words;
  for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
    words.push_back(text.substr(0, end));
    text.erase(0, end + 1);
  }
  if (!text.empty()) words.push_back(text);
  return words;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto words = lines_of(std::string(reinterpret_cast<const char*>(data), size));
  auto command = config::parse_ip_tunnel(words, kNames);
  if (!command) {
    check_error(command.error());
    return 0;
  }
  HATS_FUZZ_CHECK(command->name.size() <= 15 && command->underlay.size() <= 15);
  const auto tunnel = config::apply(*command, {});
  if (!tunnel) {
    check_error(tunnel.error());
    HATS_FUZZ_CHECK(command->verb != config::TunnelCommand::Verb::add);
    return 0;
  }
  check_tunnel(*tunnel);
  const auto again = config::apply(*command, *tunnel);
  HATS_FUZZ_CHECK(again && *again == *tunnel);
  HATS_FUZZ_CHECK(config::selects(*command, command->name, *tunnel, 0));
  const auto interface = config::interface_config(*command);
  HATS_FUZZ_CHECK(interface && interface->tunnel && interface->tunnel->tunnel == *tunnel);
  return 0;
}
