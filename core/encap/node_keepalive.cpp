// GRE keepalives that are sent, and what comes of their answers.
#include "core/encap/node_impl.hpp"

namespace hats::encap {

void Node::Impl::keepalive_changed(Now, Tunnel& tunnel) {
  tunnel.keepalive.due = BootTime{INT64_MAX};
}

void Node::Impl::keepalive_timeout(Now, Tunnel& tunnel) {
  tunnel.keepalive.due = BootTime{INT64_MAX};
}

}  // namespace hats::encap
