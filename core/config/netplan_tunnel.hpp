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
  /// Holds everything that has been read against the mode. The context keeps the faults.
  void finish();

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
  void finish_wireguard(const Value& name);
  void finish_plain(const Value& name, const Entry& mode_entry, size_t mode);
  [[nodiscard]] Done finish_ends(const Entry& mode_entry, const Entry& remote_entry, TunnelSpec& spec);
  void finish_keys(encap::TunnelConfig& tunnel);
  [[nodiscard]] Done finish_mtu();
  void finish_common();
  /// A fault for want of something, unless a fault before may be why it is not there.
  void lacks(const std::unexpected<ConfigError>& fault) {
    if (whole_) context_.faults().add(fault.error());
  }

  Context& context_;
  InterfaceConfig& out_;
  std::optional<Value> name_;  // where the tunnel was mentioned last
  Scalars scalars_;
  bool whole_ = true;  // everything that was there could be read
};

}  // namespace hats::config::netplan
