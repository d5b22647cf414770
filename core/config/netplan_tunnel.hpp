// One tunnel of netplan: its keys, read from one file after the other, and what they come to.
#pragma once

#include <optional>
#include <vector>

#include "core/config/netplan_parts.hpp"

namespace hats::config::netplan {

class TunnelReader {
 public:
  /// Both must outlive the reader; so must the trees of what it reads.
  TunnelReader(Context& context, InterfaceConfig& out) : context_(context), out_(out) {}

  /// Reads the tunnel as one file has it.
  [[nodiscard]] Done read(const Entry& tunnel, const Value& name);
  [[nodiscard]] bool found() const { return name_.has_value(); }
  /// Holds everything that has been read against the mode.
  [[nodiscard]] Done finish();

  /// The scalars whose meaning depends on the mode, as the last file has them.
  struct Scalars {
    std::optional<Entry> mode, local, remote, ttl, input_key, output_key, private_key, port, mark, mtu,
        ipv6_mtu;
    std::vector<InterfaceAddress> plain_addresses, other_addresses;
    std::vector<Entry> peers;
    bool accept_ra = false;
    LinkLocal link_local = LinkLocal::as_kernel;
    std::vector<InterfaceRoute> gateways, routes;
    std::vector<std::string> dns_servers, dns_search;
  };

 private:
  [[nodiscard]] Done finish_wireguard(const Value& name);
  [[nodiscard]] Done finish_plain(const Value& name, const Entry& mode_entry, size_t mode);
  [[nodiscard]] Done finish_ends(const Value& name, const Entry& mode_entry, TunnelSpec& spec);
  [[nodiscard]] Done finish_keys(encap::TunnelConfig& tunnel);
  [[nodiscard]] Done finish_mtu();
  void finish_common();

  Context& context_;
  InterfaceConfig& out_;
  std::optional<Value> name_;  // where the tunnel was mentioned last
  Scalars scalars_;
};

}  // namespace hats::config::netplan
