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

/// The file can be up together with those before it: none is the same interface, has its port, or a tunnel
/// that is alike on the wire.
[[nodiscard]] AppResult<void> check_beside(const InterfaceFile& file,
                                           const std::vector<InterfaceFile>& before);

/// No process answers for a WireGuard interface of that name, in whatever namespace: wg(8) knows it by a
/// socket in /run. Asked with root's rights, so that an error can tell where that process is.
[[nodiscard]] AppResult<void> check_wg_socket_is_free(const std::string& name);

/// No tunnel of a running process is alike on the wire to that of `file`; of a WireGuard interface: nobody
/// answers for it already.
[[nodiscard]] AppResult<void> check_wire_is_free(const InterfaceFile& file);

/// That another interface of ours has the port of the file now, with its name: the system tells only that
/// somebody has it.
[[nodiscard]] std::optional<std::string> own_port_text(const InterfaceFile& file);

/// What would keep `up` of the file from its work now: the name or the port is taken, the program that sets
/// DNS is not here, or the tunnel is one on the wire with that of a running process. For `check`: nothing is
/// changed.
[[nodiscard]] std::vector<std::string> collisions(const InterfaceFile& file);

/// Ends the interface and waits until its link is gone.
[[nodiscard]] AppResult<void> take_down(const LiveInterface& live);

/// That no process serves the interface; of one whose process was killed also where `down` undoes what is
/// left.
[[nodiscard]] AppError no_such_interface(const std::string& name);

/// Undoes what an interface that nobody serves any more has left; an error if there is nothing of it.
[[nodiscard]] AppResult<void> clean_up_after(const std::string& name);
/// The same for all that were here; whether there was one.
[[nodiscard]] AppResult<bool> clean_up_after_all();

/// "NAME" of "NAME", "NAME.conf", "/path/10-NAME.netdev" (the file is read for its Name=), and all tunnels of
/// a netplan file. Error: a netplan file that cannot be read.
[[nodiscard]] AppResult<std::vector<std::string>> interfaces_of(const std::vector<std::string>& words);

}  // namespace hats::app
