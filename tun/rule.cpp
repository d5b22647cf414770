// Policy rules.
#include <linux/fib_rules.h>

#include <algorithm>

#include "tun/link.hpp"
#include "tun/netlink_socket.hpp"

namespace hats::tun {

namespace {

constexpr uint32_t kWholeMark = 0xffff'ffff;
constexpr uint32_t kNoSuppression = 0xffff'ffff;  // how the kernel reports that there is none
constexpr uint32_t kLargestHeaderTable = 255;

void fill(Request& request, const Rule& rule) {
  auto& header = request.family_header<fib_rule_hdr>();
  header.family = af_of(rule.family);
  header.action = FR_ACT_TO_TBL;
  header.flags = rule.invert ? FIB_RULE_INVERT : 0;
  header.table =
      static_cast<uint8_t>(rule.table <= kLargestHeaderTable ? rule.table : uint32_t{RT_TABLE_UNSPEC});
  request.put(FRA_TABLE, rule.table);
  if (rule.fwmark) {
    request.put(FRA_FWMARK, *rule.fwmark);
    request.put(FRA_FWMASK, kWholeMark);
  }
  if (rule.suppress_prefix_length) request.put(FRA_SUPPRESS_PREFIXLEN, *rule.suppress_prefix_length);
  if (rule.priority) request.put(FRA_PRIORITY, *rule.priority);
}

Rule rule_of(const nlmsghdr* message) {
  const auto* header = static_cast<const fib_rule_hdr*>(mnl_nlmsg_get_payload(message));
  const Attributes<FRA_TABLE> attributes(message, sizeof(fib_rule_hdr));
  Rule out;
  out.family = header->family == AF_INET6 ? Family::v6 : Family::v4;
  out.invert = (header->flags & FIB_RULE_INVERT) != 0;
  out.table = u32_of(attributes[FRA_TABLE], header->table);
  out.priority = u32_of(attributes[FRA_PRIORITY], 0);
  if (attributes[FRA_FWMARK] != nullptr) out.fwmark = u32_of(attributes[FRA_FWMARK], 0);
  const uint32_t suppress = u32_of(attributes[FRA_SUPPRESS_PREFIXLEN], kNoSuppression);
  if (suppress != kNoSuppression) out.suppress_prefix_length = suppress;
  return out;
}

}  // namespace

int Netlink::add_rule(const Rule& rule) {
  Request request(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL);
  fill(request, rule);
  if (const int error = impl_->socket.request(request)) return error;
  if (!rule.suppress_prefix_length) return 0;
  // Linux before 3.12 ignores the suppression: the rule would then send everything to its table.
  const auto present = rules(rule.family);
  if (!present) return present.error();
  const bool suppressed = std::ranges::any_of(*present, [&](const Rule& r) {
    return r.table == rule.table && r.suppress_prefix_length == rule.suppress_prefix_length;
  });
  if (suppressed) return 0;
  Rule plain = rule;
  plain.suppress_prefix_length.reset();
  const int error = remove_rule(plain);
  return error != 0 ? error : EOPNOTSUPP;
}

int Netlink::remove_rule(const Rule& rule) {
  Request request(RTM_DELRULE, 0);
  fill(request, rule);
  return impl_->socket.request(request);
}

std::expected<std::vector<Rule>, int> Netlink::rules(Family family) {
  std::vector<Rule> out;
  Request request(RTM_GETRULE, 0);
  request.family_header<fib_rule_hdr>().family = af_of(family);
  const auto on_message = [&](const nlmsghdr* m) {
    if (m->nlmsg_type == RTM_NEWRULE) out.push_back(rule_of(m));
  };
  if (const int error = impl_->socket.dump(request, on_message, [&] { out.clear(); })) {
    return std::unexpected(error);
  }
  return out;
}

}  // namespace hats::tun
