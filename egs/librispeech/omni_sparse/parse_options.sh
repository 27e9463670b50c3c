# SPDX-License-Identifier: Apache-2.0
# Kaldi-style command-line options for shell scripts. Source it after the defaults:
#   stage=0                     ./run.sh --stage 3  sets $stage (any variable that is defined)
#   help_message="Usage: ..."   ./run.sh --help     prints it
#   _old_spellings="levels=subnets"  ./run.sh --levels 0  sets $subnets, and says so
#   _repeatable="set"           ./run.sh --set a --set b  sets $set to "a b"; else the last counts
# A boolean default (true or false) takes only true or false, or nothing for true. Dashes in names
# stand for underscores.

_option_error() {
  echo "error: $(basename "$0"): $1 (see $0 --help)" >&2
  exit 2
}

_given=()  # names and values, as they came
while [ $# -gt 0 ]; do
  case "$1" in
    --help | -h)
      echo "${help_message:-no help}"
      exit 0
      ;;
    --*=*)
      _option_error "write '${1%%=*} ${1#*=}' for '$1'"
      ;;
    --*)
      _name=${1#--}
      _name=${_name//-/_}
      [[ $_name =~ ^[a-z][a-z0-9_]*$ ]] || _option_error "invalid option '$1'"
      for _spelling in ${_old_spellings:-}; do
        if [ "$_name" = "${_spelling%%=*}" ]; then
          _name=${_spelling#*=}
          echo "note: $1 is now called --${_name//_/-}" >&2
        fi
      done
      if [[ ${!_name-} =~ ^(true|false)$ && ( $# -lt 2 || $2 == --* ) ]]; then
        set -- "$1" true "${@:2}"  # a switch alone is switched on
      fi
      [[ $# -ge 2 && $2 != --* ]] || _option_error "option '$1' needs a value"
      if [ -z "${!_name+set}" ]; then
        _option_error "invalid option '$1'"
      else
        case "${!_name}:$2" in
          true:true | true:false | false:true | false:false) ;;
          true:* | false:*) _option_error "option '$1' takes true or false, not '$2'" ;;
        esac
        if [[ " ${_repeatable:-} " == *" $_name "* && -n ${!_name} ]]; then
          printf -v "$_name" '%s %s' "${!_name}" "$2"
        else
          printf -v "$_name" '%s' "$2"
        fi
        _given+=("$_name" "$2")
      fi
      shift 2
      ;;
    *)
      break
      ;;
  esac
done
if [ $# -gt 0 ]; then
  _option_error "unexpected argument '$1'"
fi
true
