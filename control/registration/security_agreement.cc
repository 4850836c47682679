// SPDX-License-Identifier: BSD-3-Clause
// Why no library's parser: those that know these headers (Sofia-SIP's) come with a SIP stack and an
// allocator of their own, which libgmesp would carry into every SIP server; and they leave the
// parameters as strings, where all the judging below would still be ours. The grammar is small:
//
//   sec-mechanism = token *( SEMI [ token [ EQUAL ( token / host / quoted-string ) ] ] )
//
// in comma lists (RFC 3329 2.2, RFC 3261 25.1). Taken beyond it, because phones write it: empty
// list elements, empty parameters, lines that end without CR, quoted values of any parameter.
#include "control/registration/security_agreement.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <type_traits>

#include "control/registration/header_reader.h"

namespace gmesp {
namespace {

static_assert(std::is_trivially_copyable_v<SecurityAgreement>, "it travels in records of a ring");

constexpr std::string_view kMechanismName = "ipsec-3gpp";
constexpr std::array<std::string_view, 3> kHeaderNames{"security-client", "security-server",
                                                       "security-verify"};
constexpr std::array<std::string_view, 3> kModeNames{"trans", "tun", "UDP-enc-tun"};

enum class Parameter : uint8_t { q, alg, prot, mod, ealg, spi_c, spi_s, port_c, port_s };
constexpr std::array<std::string_view, 9> kParameterNames{
    "q", "alg", "prot", "mod", "ealg", "spi-c", "spi-s", "port-c", "port-s"};
constexpr unsigned bit(Parameter parameter) { return 1U << static_cast<unsigned>(parameter); }
constexpr unsigned kMandatory = bit(Parameter::alg) | bit(Parameter::spi_c) |
                                bit(Parameter::spi_s) | bit(Parameter::port_c) |
                                bit(Parameter::port_s);

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool equal_in_any_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::ranges::equal(a, b, {}, lower, lower);
}

template <size_t N>
std::optional<size_t> find_name(const std::array<std::string_view, N>& names,
                                std::string_view text) {
  for (size_t i = 0; i < N; ++i) {
    if (equal_in_any_case(names[i], text)) return i;
  }
  return std::nullopt;
}

template <typename Number>
AgreementError read_number(std::string_view text, Number least, Number& number) {
  const char* const end = text.data() + text.size();
  if (text.empty() || !std::ranges::all_of(text, is_digit)) return AgreementError::syntax;
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc{} && stop == end && number >= least
             ? AgreementError::none
             : AgreementError::number_out_of_range;
}

// qvalue (RFC 3261 25.1): at most three digits behind the point.
AgreementError read_q(std::string_view text, uint16_t& thousandths) {
  const size_t point = std::min(text.find('.'), text.size());
  const std::string_view fraction = text.substr(std::min(point + 1, text.size()));
  if (fraction.size() > 3 || !std::ranges::all_of(fraction, is_digit)) {
    return AgreementError::syntax;
  }
  unsigned whole = 0;
  const AgreementError error = read_number(text.substr(0, point), 0U, whole);
  if (error != AgreementError::none) return error;
  unsigned q = std::min(whole, 2U);
  for (size_t i = 0; i < 3; ++i) {
    q = q * 10 + (i < fraction.size() ? static_cast<unsigned>(fraction[i] - '0') : 0);
  }
  if (q > 1000) return AgreementError::number_out_of_range;
  thousandths = static_cast<uint16_t>(q);
  return AgreementError::none;
}

// One ipsec-3gpp element as its parameters come in.
class Element {
 public:
  void take(std::string_view name, std::string_view value) {
    const auto found = find_name(kParameterNames, name);
    if (!found) return;
    const auto parameter = static_cast<Parameter>(*found);
    note((seen_ & bit(parameter)) != 0 ? AgreementError::duplicate_parameter
                                       : read(parameter, value));
    seen_ |= bit(parameter);
  }
  // Nobody here could use the element: whatever else is wrong with it does not matter.
  bool unknown() const { return unknown_; }
  AgreementError error() const {
    if (error_ != AgreementError::none) return error_;
    return (seen_ & kMandatory) == kMandatory ? AgreementError::none
                                              : AgreementError::missing_parameter;
  }
  const SecurityMechanism& mechanism() const { return mechanism_; }

 private:
  AgreementError read(Parameter parameter, std::string_view value) {
    switch (parameter) {
      case Parameter::q:
        return read_q(value, mechanism_.q);
      case Parameter::spi_c:
        return read_number(value, 0U, mechanism_.spi_c);
      case Parameter::spi_s:
        return read_number(value, 0U, mechanism_.spi_s);
      case Parameter::port_c:
        return read_number(value, uint16_t{1}, mechanism_.port_c);
      case Parameter::port_s:
        return read_number(value, uint16_t{1}, mechanism_.port_s);
      default:
        return read_word(parameter, value);
    }
  }
  AgreementError read_word(Parameter parameter, std::string_view value) {
    std::array<char, 16> buffer{};
    if (value.empty()) return AgreementError::syntax;
    const size_t size = std::min(value.size(), buffer.size());
    std::transform(value.begin(), value.begin() + static_cast<ptrdiff_t>(size), buffer.begin(),
                   lower);
    // A longer value is none of ours: cut off, it is still longer than every name.
    const std::string_view word(buffer.data(), size);
    if (parameter == Parameter::alg) {
      keep(parse_integrity_algorithm(word), mechanism_.integrity);
    } else if (parameter == Parameter::ealg) {
      keep(parse_encryption_algorithm(word), mechanism_.encryption);
    } else if (parameter == Parameter::prot) {
      mechanism_.esp = word == "esp";
      unknown_ |= !mechanism_.esp && word != "ah";
    } else {
      const auto mode = find_name(kModeNames, word);
      keep(mode ? std::optional(static_cast<EspMode>(*mode)) : std::nullopt, mechanism_.mode);
    }
    return AgreementError::none;
  }
  template <typename Value>
  void keep(std::optional<Value> value, Value& member) {
    unknown_ |= !value;
    member = value.value_or(Value{});
  }
  void note(AgreementError error) {
    if (error_ == AgreementError::none) error_ = error;
  }

  SecurityMechanism mechanism_;
  unsigned seen_ = 0;
  bool unknown_ = false;
  AgreementError error_ = AgreementError::none;
};

class Parser {
 public:
  explicit Parser(std::string_view text) : reader_(text) {}

  AgreementError run(SecurityAgreement& agreement) {
    reader_.skip_blanks();
    if (!take_header_name()) return AgreementError::syntax;
    size_t elements = 0;
    for (reader_.skip_blanks(); !reader_.at_end(); reader_.skip_blanks()) {
      if (reader_.take(',')) continue;
      if (reader_.take_line_end()) {
        if (!take_header_name()) return AgreementError::syntax;
        continue;
      }
      const AgreementError error = take_element(agreement);
      if (error != AgreementError::none) return error;
      ++elements;
    }
    if (elements == 0) return AgreementError::syntax;
    return agreement.count == 0 ? AgreementError::no_ipsec_3gpp : AgreementError::none;
  }

 private:
  // "Security-Client:", the same one on every line that has one. False: something else.
  bool take_header_name() {
    HeaderReader ahead = reader_;
    const std::string_view name = ahead.token();
    ahead.skip_blanks();
    if (!ahead.take(':')) return true;
    const auto header = find_name(kHeaderNames, name);
    if (!header || (header_ && header != header_)) return false;
    header_ = header;
    reader_ = ahead;
    return true;
  }

  AgreementError take_element(SecurityAgreement& agreement) {
    const std::string_view name = reader_.token();
    if (name.empty()) return AgreementError::syntax;
    Element element;
    for (reader_.skip_blanks(); reader_.take(';'); reader_.skip_blanks()) {
      if (!take_parameter(element)) return AgreementError::syntax;
    }
    if (!at_element_end()) return AgreementError::syntax;
    if (!equal_in_any_case(name, kMechanismName) || element.unknown()) return AgreementError::none;
    if (element.error() != AgreementError::none) return element.error();
    return agreement.add(element.mechanism()) ? AgreementError::none
                                              : AgreementError::too_many_mechanisms;
  }

  bool take_parameter(Element& element) {
    reader_.skip_blanks();
    if (reader_.at(';') || at_element_end()) return true;  // an empty one
    const std::string_view name = reader_.token();
    if (name.empty()) return false;
    reader_.skip_blanks();
    std::string_view value;
    if (reader_.take('=')) {
      reader_.skip_blanks();
      const bool quoted = reader_.at('"');
      const auto read = quoted ? reader_.quoted() : reader_.value();
      if (!read || (!quoted && read->empty())) return false;
      value = *read;
    }
    element.take(name, value);
    return true;
  }

  bool at_element_end() const {
    return reader_.at_end() || reader_.at(',') || reader_.at_line_end();
  }

  HeaderReader reader_;
  std::optional<size_t> header_;
};

void append(std::string& text, std::string_view label, uint32_t number, size_t digits) {
  const std::string plain = std::to_string(number);
  text.append(label);
  if (plain.size() < digits) text.append(digits - plain.size(), '0');
  text.append(plain);
}

bool equal_but_q(const SecurityMechanism& a, SecurityMechanism b) {
  b.q = a.q;
  return a == b;
}

}  // namespace

bool SecurityAgreement::add(const SecurityMechanism& mechanism) {
  if (count == kMaxMechanisms) return false;
  mechanisms[count++] = mechanism;
  return true;
}

AgreementError parse_security_agreement(std::string_view text, SecurityAgreement& agreement) {
  agreement = {};
  if (text.size() > kMaxAgreementText) return AgreementError::syntax;
  const AgreementError error = Parser(text).run(agreement);
  if (error != AgreementError::none) agreement = {};
  return error;
}

AgreementError read_security_header(std::string_view text, SecurityAgreement& agreement) {
  agreement = {};
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return AgreementError::none;
  const AgreementError error = parse_security_agreement(text, agreement);
  return error == AgreementError::no_ipsec_3gpp ? AgreementError::none : error;
}

std::string format_security_agreement(const SecurityAgreement& agreement, SpiFormat spis) {
  const size_t spi_digits = spis == SpiFormat::padded ? 10 : 1;
  std::string text;
  for (const SecurityMechanism& mechanism : agreement.all()) {
    if (!text.empty()) text += ", ";
    text += kMechanismName;
    if (mechanism.q != SecurityMechanism::kNoQ) {
      append(text, ";q=", mechanism.q / 1000U, 1);
      append(text, ".", mechanism.q % 1000U, 3);
    }
    text.append(";alg=").append(name(mechanism.integrity));
    text.append(";prot=").append(mechanism.esp ? "esp" : "ah");
    text.append(";mod=").append(kModeNames[static_cast<size_t>(mechanism.mode)]);
    text.append(";ealg=").append(name(mechanism.encryption));
    append(text, ";spi-c=", mechanism.spi_c, spi_digits);
    append(text, ";spi-s=", mechanism.spi_s, spi_digits);
    append(text, ";port-c=", mechanism.port_c, 1);
    append(text, ";port-s=", mechanism.port_s, 1);
  }
  return text;
}

bool repeats(const SecurityAgreement& echo, const SecurityAgreement& original) {
  if (echo.count != original.count) return false;
  uint32_t matched = 0;  // of the original's elements, one bit each
  static_assert(SecurityAgreement::kMaxMechanisms <= 32);
  const auto match = [&](const SecurityMechanism& mechanism) {
    for (uint32_t i = 0; i < original.count; ++i) {
      const SecurityMechanism& other = original.mechanisms[i];
      if ((matched >> i & 1U) != 0 || !equal_but_q(mechanism, other)) continue;
      if (mechanism.q != SecurityMechanism::kNoQ && mechanism.q != other.q) continue;
      matched |= 1U << i;
      return true;
    }
    return false;
  };
  // Those with a q first: one without it could take the place of the only one that fits them.
  const auto has_q = [](const SecurityMechanism& mechanism) {
    return mechanism.q != SecurityMechanism::kNoQ;
  };
  return std::ranges::all_of(echo.all(), [&](const auto& m) { return !has_q(m) || match(m); }) &&
         std::ranges::all_of(echo.all(), [&](const auto& m) { return has_q(m) || match(m); });
}

}  // namespace gmesp
