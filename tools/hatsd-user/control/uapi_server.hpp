// wg's cross-platform socket of one interface, /var/run/wireguard/NAME.sock (peers.md 4). On the control
// thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>

#include "core/config/uapi.hpp"
#include "core/wg/update.hpp"
#include "tools/hatsd-user/control/file_watch.hpp"
#include "tools/hatsd-user/control/local_socket.hpp"
#include "tools/hatsd-user/daemon/app_error.hpp"

namespace hats::app {

inline constexpr const char* kUapiDirectory = "/var/run/wireguard";
/// Whom the socket speaks for.
class UapiTarget {
 public:
  virtual ~UapiTarget() = default;
  /// Carries out a `set`: 0 or a positive errno.
  virtual int uapi_set(wg::DeviceUpdate update) = 0;
  virtual wg::DeviceSnapshot uapi_get() = 0;
};

class UapiServer {
 public:
  /// Called when somebody has removed the socket file: the interface is to end.
  using Removed = std::function<void()>;

  /// Makes the socket at its usual place.
  static AppResult<std::unique_ptr<UapiServer>> open(boost::asio::io_context& io,
                                                     const std::string& interface, UapiTarget& target,
                                                     Removed removed);
  /// Takes over a descriptor (WG_UAPI_FD): a listening socket, or one connected stream.
  static AppResult<std::unique_ptr<UapiServer>> adopt(boost::asio::io_context& io, int fd, UapiTarget& target,
                                                      Removed removed);
  ~UapiServer();  // removes the file
  UapiServer(const UapiServer&) = delete;
  UapiServer& operator=(const UapiServer&) = delete;

 private:
  class Session;
  using Protocol = boost::asio::local::stream_protocol;

  UapiServer(boost::asio::io_context& io, UapiTarget& target);
  AppResult<void> listen(ListeningSocket socket, Removed removed);
  void accept();
  void start_session(Protocol::socket socket);

  boost::asio::io_context& io_;
  std::shared_ptr<UapiTarget*> target_;  // nulled when the server goes; sessions may live a little longer
  Protocol::acceptor acceptor_;
  boost::asio::steady_timer pause_;  // after a failed accept: out of descriptors, most likely
  SocketFile file_;
  std::unique_ptr<FileWatch> watch_;
};

}  // namespace hats::app
