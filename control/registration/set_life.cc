// SPDX-License-Identifier: BSD-3-Clause
// What becomes of sets after a call, and by itself: the workers' answers, first use, deadlines, the
// end. The rules are those of TS 24.229 5.2.2 (SPEC 7.5) and of the joint session (SPEC 3).
#include <algorithm>
#include <utility>

#include "control/registration/registrar.h"

namespace gmesp {
namespace {

// What one tick may take from commands and answers: so many, and no more time than this before the
// last few.
constexpr size_t kDeadlinesAtOnce = 16;
constexpr size_t kDeadlinesPerTick = 64 * kDeadlinesAtOnce;
constexpr std::chrono::milliseconds kTickLasts{2};  // by a clock of whole ones: 1 to 2

}  // namespace

void Registrar::on_news(SetIndex index, SaHandle sa, SaNews news) {
  switch (news) {
    case SaNews::installed:
    case SaNews::rejected:
    case SaNews::promoted:
    case SaNews::deleted:
      return on_answer(index, sa, news);
    case SaNews::first_use:
      return on_first_use(index, sa);
    case SaNews::sequence_soft_limit:
      return tell(index, SetEventKind::sequence_soft_limit);
    case SaNews::sequence_exhausted:
      return tell(index, SetEventKind::sequence_exhausted);
    case SaNews::icv_failures:
      return tell(index, SetEventKind::icv_failures);
  }
}

void Registrar::on_answer(SetIndex index, SaHandle sa, SaNews news) {
  SaSet& set = sets_[index];
  const auto begin = set.sas.begin();
  const auto place = std::find(begin, begin + set.sa_count, sa);
  if (news == SaNews::promoted) {
    set.promoted = static_cast<uint8_t>(set.promoted | 1 << (place - begin));
  } else if (news == SaNews::rejected) {
    std::copy(place + 1, begin + set.sa_count, place);
    --set.sa_count;
    set.rejected = true;
  }
  if (--set.unanswered == 0) on_step_over(index);
}

void Registrar::on_step_over(SetIndex index) {
  SaSet& set = sets_[index];
  const SetStep step = std::exchange(set.step, SetStep::none);
  if (step == SetStep::deleting) return forget(index);
  if (set.registration == nullptr) return delete_sas(index);
  if (set.rejected) return begin_delete(index, SetEventKind::deleted);
  if (step == SetStep::installing) {
    set_state(set, SetState::temporary);
    set_deadline(index, now() + int64_t{config_.await_auth_s} * 1000);  // PUB-02
  }
  answer(set.waiting);
}

// DESIGN 4: on a temporary set the first packet is SM7; after ok() the next is that of PUB-04.
void Registrar::on_first_use(SetIndex index, SaHandle sa) {
  SaSet& set = sets_[index];
  if (set.registration == nullptr || direction_of(sa) != Direction::in) return;
  const auto place = std::find(set.sas.begin(), set.sas.end(), sa) - set.sas.begin();
  const bool since_ok = (set.promoted >> place & 1) != 0;
  if (!since_ok && !set.temporary_used) {
    set.temporary_used = true;
    tell(index, SetEventKind::temporary_used);
  } else if (since_ok && !set.in_use && set.state == SetState::established) {
    take_into_use(index);
  }
}

// PUB-04, JNT-1: what the UE has left behind lives 64*T1.
void Registrar::take_into_use(SetIndex index) {
  SaSet& set = sets_[index];
  set.in_use = true;
  tell(index, SetEventKind::taken_into_use);
  for (const SetIndex earlier : set.registration->sets) {
    if (earlier == index) break;
    if (sets_[earlier].state == SetState::established) retire(earlier);
  }
}

void Registrar::retire(SetIndex index) {
  SaSet& set = sets_[index];
  cut_deadline(index, config_.grace());
  if (set.state == SetState::old) return;
  set_state(set, SetState::old);
  tell(index, SetEventKind::retired);
}

bool Registrar::tick() {
  const bool more_deadlines = meet_deadlines();
  return look_for_orphans() || more_deadlines;
}

// True: there is more to do.
bool Registrar::meet_deadlines() {
  const Milliseconds begin = clock_();
  const auto due = [this](uint32_t index) {
    const AssumeRole role(control_thread);  // clang carries no role into a lambda
    on_deadline(index);
  };
  for (size_t done = 0; done < kDeadlinesPerTick; done += kDeadlinesAtOnce) {
    if (!timers_.advance(begin.count(), kDeadlinesAtOnce, due)) return false;
    if (clock_() - begin >= kTickLasts) return true;
  }
  return true;
}

void Registrar::on_deadline(SetIndex index) {
  const SaSet& ends = sets_[index];
  const bool was_in_time = ends.state == SetState::established || ends.state == SetState::old;
  std::vector<SetIndex> waiting_for_use;
  for (const SetIndex other : ends.registration->sets) {
    const SaSet& set = sets_[other];
    const bool unused = set.state == SetState::established && !set.in_use;
    if (is_lasting(ends) && unused && other != index) waiting_for_use.push_back(other);
  }
  begin_delete(index, was_in_time ? SetEventKind::expired : SetEventKind::authentication_timeout);
  // PUB-05, JNT-4: what waited for its first packet is in use from here on.
  for (const SetIndex other : waiting_for_use) take_into_use(other);
}

void Registrar::begin_remove(SetIndex index, const CompletionRef& removing) {
  sets_[index].removing = removing;
  begin_delete(index, SetEventKind::deleted);
}

// From here on nobody finds the set; it is gone when its workers have forgotten its SAs.
void Registrar::begin_delete(SetIndex index, SetEventKind end) {
  SaSet& set = sets_[index];
  --counts_[static_cast<size_t>(set.state)];
  timers_.cancel(index);
  sets_.detach(index);
  set.end = end;
  if (set.waiting)
    set.waiting->refusal = set.rejected ? Refusal::rejected_by_worker : Refusal::unknown_handle;
  if (set.step == SetStep::none) delete_sas(index);
}

void Registrar::delete_sas(SetIndex index) {
  SaSet& set = sets_[index];
  if (set.sa_count == 0) return forget(index);
  set.step = SetStep::deleting;
  set.unanswered = set.sa_count;
  for (size_t i = 0; i < set.sa_count; ++i) sas_.remove_sa(set.sas[i]);
}

// PUB-09: keys are wiped, SPIs rest (R19).
void Registrar::forget(SetIndex index) {
  SaSet& set = sets_[index];
  if (set.keys) {
    sas_.release_keys(*set.keys);
    used_keys_.retire(set.key_print);
  }
  const SetEnd& own = role_ == Role::pcscf ? set.pcscf : set.ue;
  spis_.release(own.spi_c, clock_());
  spis_.release(own.spi_s, clock_());
  tell(index, set.end);
  CompletionRef waiting = std::move(set.waiting);
  CompletionRef removing = std::move(set.removing);
  sets_.erase(index);
  answer(waiting);
  answer(removing);
}

void Registrar::set_state(SaSet& set, SetState state) {
  --counts_[static_cast<size_t>(set.state)];
  ++counts_[static_cast<size_t>(state)];
  set.state = state;
}

void Registrar::set_deadline(SetIndex index, When deadline) {
  sets_[index].deadline_ms = deadline;
  timers_.set(index, deadline);
}

void Registrar::cut_deadline(SetIndex index, Milliseconds left) {
  set_deadline(index, std::min(sets_[index].deadline_ms, now() + left.count()));
}

void Registrar::tell(SetIndex index, SetEventKind kind) {
  const SaSet& set = sets_[index];
  if (on_event_) on_event_({kind, set.state, sets_.handle(index), now()});
}

}  // namespace gmesp
