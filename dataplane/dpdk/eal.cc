// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/dpdk/eal.h"

#include <pthread.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <stdexcept>

namespace gmesp {
namespace {

// Where EAL and the drivers write. The first error is kept for first_eal_error(): those that follow
// only say that something did not work. Drivers may speak from any thread.
std::mutex words_mutex;
std::string first_error;
std::string unfinished_line;
bool show_words = false;

ssize_t take_words(void*, const char* text, size_t bytes) {
  const std::lock_guard lock(words_mutex);
  if (show_words) std::fwrite(text, 1, bytes, stderr);
  for (const char c : std::string_view(text, bytes)) {
    if (c != '\n') {
      constexpr size_t kMaxLineBytes = 300;
      if (unfinished_line.size() < kMaxLineBytes) unfinished_line += c;
    } else {
      const bool error = rte_log_cur_msg_loglevel() <= static_cast<int>(RTE_LOG_ERR);
      if (error && first_error.empty()) first_error = unfinished_line;
      unfinished_line.clear();
    }
  }
  return static_cast<ssize_t>(bytes);
}

void redirect_words(bool verbose) {
  show_words = verbose;
  FILE* stream = fopencookie(
      nullptr, "w", {.read = nullptr, .write = take_words, .seek = nullptr, .close = nullptr});
  if (stream == nullptr) throw std::runtime_error("no memory for DPDK's log");
  std::setvbuf(stream, nullptr, _IOLBF, BUFSIZ);
  rte_openlog_stream(stream);
}

size_t read_number(const std::filesystem::path& path) {
  std::ifstream file(path);
  size_t number = 0;
  file >> number;
  return file ? number : 0;
}

size_t free_hugepage_mb() {
  size_t kilobytes = 0;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", none)) {
    const std::string name = entry.path().filename();  // hugepages-2048kB
    const size_t page_kb = std::strtoul(name.c_str() + name.find('-') + 1, nullptr, 10);
    kilobytes += page_kb * read_number(entry.path() / "free_hugepages");
  }
  return kilobytes / 1024;
}

// Otherwise the kernel ends us, or somebody else, half-way through.
void check_memory(size_t memory_mb) {
  const size_t available_mb = available_memory_mb();
  if (available_mb != 0 && memory_mb > available_mb) {
    throw std::runtime_error("DPDK is to have " + std::to_string(memory_mb) +
                             " MB, and this machine has " + std::to_string(available_mb) +
                             " MB left: lower [workers] memory_mb, cpus or mtu");
  }
}

std::string hugepage_command(size_t memory_mb) {
  const size_t pages = read_number("/proc/sys/vm/nr_hugepages") + (memory_mb + 1) / 2;
  return "echo " + std::to_string(pages) + " > /proc/sys/vm/nr_hugepages";
}

std::string cpu_list(const cpu_set_t& cpus) {
  std::string list;
  for (size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &cpus)) continue;
    if (!list.empty()) list += ',';
    list += std::to_string(cpu);
  }
  return list;
}

cpu_set_t our_cpus() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  if (sched_getaffinity(0, sizeof cpus, &cpus) != 0) {
    throw std::runtime_error("cannot read this process's CPU list");
  }
  return cpus;
}

// The main thread sleeps most of the time; where there is a choice it does not wake on a worker's
// CPU.
cpu_set_t main_thread_cpus(const std::vector<unsigned>& worker_cpus) {
  const cpu_set_t ours = our_cpus();
  cpu_set_t rest = ours;
  for (const unsigned cpu : worker_cpus) {
    if (cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &ours)) {
      throw std::runtime_error("CPU " + std::to_string(cpu) +
                               " is not there: this process may run on " + cpu_list(ours) +
                               " ([workers] cpus in the configuration)");
    }
    CPU_CLR(cpu, &rest);
  }
  return CPU_COUNT(&rest) > 0 ? rest : ours;
}

std::vector<std::string> arguments(const EalConfig& config, bool hugepages) {
  std::string main_thread = "0@(";  // lcore 0, on any of these CPUs
  main_thread.append(cpu_list(main_thread_cpus(config.worker_cpus))).append(")");
  std::vector<std::string> list = {config.program, "--no-telemetry", "--lcores", main_thread};
  if (hugepages) {
    // No file of a hugepage survives us: keys and packets must not.
    list.emplace_back("--in-memory");
  } else {
    list.insert(list.end(), {"--no-huge", "--no-shconf", "-m", std::to_string(config.memory_mb)});
  }
  if (config.pci_devices.empty()) {
    // Virtual devices copy: nothing needs physical addresses, which only root may see.
    list.insert(list.end(), {"--no-pci", "--iova-mode=va"});
  }
  for (const std::string& device : config.pci_devices) {
    list.insert(list.end(), {"-a", device});
  }
  if (config.virtio_user) list.emplace_back("--single-file-segments");
  return list;
}

void initialise(std::vector<std::string> list) {
  std::vector<char*> argv;
  for (std::string& argument : list) argv.push_back(argument.data());
  forget_eal_error();
  if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0) {
    throw std::runtime_error("DPDK does not start: " + first_eal_error() + " (" +
                             rte_strerror(rte_errno) + "); gmespd -v shows all it says");
  }
}

}  // namespace

Eal::Eal(const EalConfig& config) {
  const size_t free_mb = config.allow_hugepages ? free_hugepage_mb() : 0;
  hugepages_ = config.allow_hugepages && free_mb >= config.memory_mb;
  if (config.allow_hugepages && !hugepages_) {
    const std::string need = "hugepages of " + std::to_string(config.memory_mb) + " MB needed, " +
                             std::to_string(free_mb) +
                             " MB free: " + hugepage_command(config.memory_mb);
    if (!config.pci_devices.empty()) {
      throw std::runtime_error("PCI devices need hugepages. " + need);
    }
    notice_ = "going on without hugepages, slower. " + need;
  }
  if (!hugepages_) check_memory(config.memory_mb);
  redirect_words(config.verbose);
  initialise(arguments(config, hugepages_));
}

Eal::~Eal() { rte_eal_cleanup(); }

std::string first_eal_error() {
  const std::lock_guard lock(words_mutex);
  return first_error.empty() ? "no reason given" : first_error;
}

void forget_eal_error() {
  const std::lock_guard lock(words_mutex);
  first_error.clear();
}

void enter_worker_thread(unsigned cpu) {
  if (rte_thread_register() != 0) {
    throw std::runtime_error("DPDK has no room for another worker thread: at most " +
                             std::to_string(RTE_MAX_LCORE - 1));
  }
  rte_cpuset_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(cpu, &cpus);
  if (rte_thread_set_affinity(&cpus) != 0) {
    rte_thread_unregister();
    throw std::runtime_error("CPU " + std::to_string(cpu) +
                             " refuses a worker: see Cpus_allowed_list in /proc/self/status");
  }
}

void leave_worker_thread() { rte_thread_unregister(); }

size_t available_memory_mb() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  for (size_t kilobytes = 0; file >> name >> kilobytes; file.ignore(80, '\n')) {
    if (name == "MemAvailable:") return kilobytes / 1024;
  }
  return 0;
}

uint64_t tsc_hz() { return rte_get_tsc_hz(); }

}  // namespace gmesp
