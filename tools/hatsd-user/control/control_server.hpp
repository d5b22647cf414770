// /run/hatsd-user/PID.sock: how `show`, `down` and `reload` reach a process (DESIGN.md 5). One request a
// connection: a line of JSON each way. Requests: {"op":"show"}, {"op":"show","name":N} (the interfaces that
// are called so now), {"op":"down","name":I} (with output and error of who asks, SCM_RIGHTS),
// {"op":"reload","name":I,"sources":S},
// {"op":"tunnel_survey","tunnel":T}, {"op":"tunnel_add","name":N,"words":[...]},
// {"op":"tunnel_change","name":I,"words":[...]}. Replies: {"interfaces":[...]}, that of a survey, {} or
// {"error":TEXT,"exit_code":N}. I is the id that `show` gives: an interface's name may be another's by now.
// What is asked for every `tunnel add` must not grow with the number of tunnels.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/hatsd-user/control/descriptors.hpp"
#include "tools/hatsd-user/control/local_socket.hpp"
#include "tools/hatsd-user/daemon/app_error.hpp"

namespace hats::app {

/// A request at the most: a configuration file as a JSON string.
inline constexpr size_t kMaxControlRequest = size_t{64} << 20;

using ControlReply = std::function<void(const nlohmann::json&)>;

/// Whom the socket speaks for.
class ControlTarget {
 public:
  ControlTarget() = default;
  ControlTarget(const ControlTarget&) = delete;
  ControlTarget& operator=(const ControlTarget&) = delete;
  virtual ~ControlTarget() = default;

  /// The live interfaces, as status_json() tells them; if `name` is not empty, those that are called so.
  virtual nlohmann::json control_show(const std::string& name) = 0;
  /// Whether the process takes further tunnels ("accepts_tunnels"), and, if one of its own cannot be told
  /// apart from `tunnel` (tunnel_to_json()) on the wire, what that is called and where it is ("alike": "name"
  /// and "network_namespace").
  virtual nlohmann::json control_tunnel_survey(const nlohmann::json& tunnel) = 0;
  /// Replies when the interface is gone. `output`: output and error of who asks, if they came along.
  virtual void control_down(const std::string& id, const Descriptors& output, ControlReply reply) = 0;
  /// `sources`: sources_to_json().
  virtual void control_reload(const std::string& id, const nlohmann::json& sources, ControlReply reply) = 0;
  /// `words` of `tunnel add NAME ...`, in the words of ip(8).
  virtual void control_tunnel_add(const std::string& name, const std::vector<std::string>& words,
                                  ControlReply reply) = 0;
  virtual void control_tunnel_change(const std::string& id, const std::vector<std::string>& words,
                                     ControlReply reply) = 0;
};

class ControlServer {
 public:
  static AppResult<std::unique_ptr<ControlServer>> open(boost::asio::io_context& io, ControlTarget& target);
  ~ControlServer();  // removes the file
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  class Session;
  using Protocol = boost::asio::local::stream_protocol;

  ControlServer(boost::asio::io_context& io, ControlTarget& target, ListeningSocket socket);
  void accept();

  std::shared_ptr<ControlTarget*> target_;  // nulled when the server goes; sessions may live a little longer
  Protocol::acceptor acceptor_;
  boost::asio::steady_timer pause_;  // after a failed accept: out of descriptors, most likely
  SocketFile file_;
};

}  // namespace hats::app
