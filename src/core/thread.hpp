#pragma once

#include <functional>
#include <string>
#include <thread>

namespace cairn {

/// Starts a thread with a name that tools show (at most 15 characters are kept), and with all signals blocked: signals
/// of the process are for the threads of the program that uses cairn.
std::thread start_thread(const std::string& name, std::function<void()> body);

}  // namespace cairn
