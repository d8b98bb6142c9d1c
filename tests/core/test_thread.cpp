#include <pthread.h>

#include <csignal>
#include <string>

#include "core/thread.hpp"
#include "support/catch.hpp"

TEST_CASE("cairn's threads have a name and leave the program's signals to the program") {
  char name[16] = {};
  sigset_t inside;
  sigset_t before;
  sigset_t after;
  sigemptyset(&inside);
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  std::thread thread = cairn::start_thread("a-name-of-some-length", [&] {
    pthread_getname_np(pthread_self(), name, sizeof name);
    pthread_sigmask(SIG_SETMASK, nullptr, &inside);
  });
  thread.join();
  pthread_sigmask(SIG_SETMASK, nullptr, &after);

  CHECK(std::string(name) == "a-name-of-some-");
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGCHLD, SIGALRM, SIGHUP}) {
    CHECK(sigismember(&inside, signal) == 1);
    CHECK(sigismember(&after, signal) == sigismember(&before, signal));
  }
  for (const int fault : {SIGSEGV, SIGBUS, SIGABRT})
    CHECK(sigismember(&inside, fault) == 0);
}
