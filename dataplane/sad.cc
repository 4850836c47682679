// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/sad.h"

namespace gmesp {

std::optional<InstallError> Sad::install(const InstallInbound& command) {
  if (static_cast<size_t>(command.index) >= sas_.capacity()) return InstallError::table_full;
  if (!sas_.can_place(command.index)) return InstallError::index_in_use;
  if (find(command.spi) != nullptr) return InstallError::spi_in_use;
  InboundSa sa;
  sa.spi = command.spi;
  sa.key = command.key;
  sa.window = ReplayWindow(command.window, command.seen, command.window_words);
  sa.selector = command.selector;
  sa.suite = command.suite;
  sas_.place(command.index, sa, command.alternate);
  by_spi_.insert(key(command.spi), command.index);
  return std::nullopt;
}

void Sad::remove(SaIndex index) {
  by_spi_.remove(key(sas_[index].spi), index);
  sas_.clear(index);
}

}  // namespace gmesp
