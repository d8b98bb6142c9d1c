#include "core/thread.hpp"

#include <pthread.h>

#include <csignal>
#include <utility>

namespace cairn {

std::thread start_thread(const std::string& name, std::function<void()> body) {
  // The new thread inherits the mask, so there is no moment in which it could take a signal.
  class SignalsBlocked {
   public:
    SignalsBlocked() noexcept {
      sigset_t all;
      sigfillset(&all);
      // What the thread does wrong itself must still end the process the usual way.
      for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT})
        sigdelset(&all, fault);
      pthread_sigmask(SIG_BLOCK, &all, &before_);
    }
    ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

   private:
    sigset_t before_;
  };

  const SignalsBlocked blocked;
  return std::thread([name = name.substr(0, 15), run = std::move(body)] {
    pthread_setname_np(pthread_self(), name.c_str());
    run();
  });
}

}  // namespace cairn
