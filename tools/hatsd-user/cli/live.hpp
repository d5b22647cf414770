// What commands ask of the interfaces that exist: whether a name is free, how one is taken down.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/hatsd-user/control/control_client.hpp"
#include "tools/hatsd-user/daemon/app_error.hpp"
#include "tools/hatsd-user/daemon/interface_file.hpp"

namespace hats::app {

/// Prints "hatsd-user: MESSAGE" to standard error, each line of it so, and returns the exit code.
int complain(const AppError& error);

/// No interface of that name exists in the caller's namespace; what a process that died has left of one is
/// undone first.
[[nodiscard]] AppResult<void> check_name_is_free(const std::string& name);

/// Asks the processes of the caller's namespace about a new tunnel: the socket of one that takes it, if
/// there is one. Error: a tunnel of theirs is alike on the wire.
[[nodiscard]] AppResult<std::optional<std::string>> survey_for_tunnel(const InterfaceFile& file);

/// No tunnel of a running process, nor of `before`, is alike on the wire to that of `file`.
[[nodiscard]] AppResult<void> check_wire_is_free(const InterfaceFile& file,
                                                 const std::vector<InterfaceFile>& before);

/// What would keep `up` of the file from its work now: the name is taken, or the tunnel is one on the wire
/// with that of a running process or of `before`. For `check`: nothing is changed.
[[nodiscard]] std::vector<std::string> collisions(const InterfaceFile& file,
                                                  const std::vector<InterfaceFile>& before);

/// Ends the interface and waits until its link is gone.
[[nodiscard]] AppResult<void> take_down(const LiveInterface& live);

/// Undoes what an interface that nobody serves any more has left; an error if there is nothing of it.
[[nodiscard]] AppResult<void> clean_up_after(const std::string& name);

/// "NAME" of "NAME", "NAME.conf", "/path/10-NAME.netdev" (the file is read for its Name=).
[[nodiscard]] std::string interface_of(const std::string& word);

}  // namespace hats::app
