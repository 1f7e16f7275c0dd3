# A list for runner from one-to-one messages as the service keeps them: the hourly export (get_history), unpacked, or
# answers of admin_getroammsg; several may follow each other, in one array or one message a line:
#
#   gzip -dcf jobs/from-history-export.json | jq -nrf jobs/from-history-export.jq > list.csv
#
# A MsgKey is used as it is. Most exports have none. {MsgSeq}_{MsgRandom}_{MsgTimestamp} is the form of every key that
# the service's documents show, but none of them promises it: edit one message first (--max-rows 1), and look at it on a
# phone.
#
# Left out, counted and reported on standard error: messages of groups, those that were recalled, and whatever else is
# in the file. A message that gives no key is refused, and so is a file without any message: jq then ends with 5. A list
# must not be silently incomplete.

def refuse($what): "from-history-export: \($what)\n" | halt_error(5);

def id($name):
  .[$name] as $id
  | if $id | type == "string" and . != "" then $id
    else refuse("a message has no \($name) (before line \(input_line_number + 1))") end;

# Up to 4294967295, which jq keeps exactly; also as text.
def number($names):
  ([.[$names[]] | values][0] | if type == "string" then tonumber? // . else . end) as $number
  | $names[0] as $name
  | if $number | type != "number" or . != floor then
      refuse("a message has neither a MsgKey nor a whole \($name) (before line \(input_line_number + 1))")
    elif $number < 0 then
      refuse("\($name) is \($number): a program kept it in a signed number of 32 bits, where large numbers come out "
        + "below zero. Take the export as the service gives it")
    elif $number > 4294967295 then refuse("\($name) is \($number), and the service's numbers end at 4294967295")
    else $number | tostring end;

def key:
  if .MsgKey | . != null and . != "" then id("MsgKey")
  else [number(["MsgSeq"]), number(["MsgRandom"]), number(["MsgTimestamp", "MsgTimeStamp", "MsgTime"])] | join("_") end;

def is_recalled: (.MsgFlagBits // 0 | tonumber? // 0) as $bits | ($bits / 8 | floor) % 2 == 1;

def message($chat):
  if $chat != "C2C" then {left: "ChatType is \($chat | tojson)"}
  elif has("GroupId") then {left: "of a group"}
  elif has("CallbackCommand") then {left: "of a webhook, see from-webhooks.jq"}
  elif is_recalled then {left: "recalled"}
  else {row: [id("From_Account"), id("To_Account"), key]} end;

# What a value holds: messages, and of an answer whether it is the last page.
def messages($chat):
  if type == "array" then .[] | messages($chat)
  elif type == "string" and test("^\\s*[{\\[\"]") then (fromjson? // empty) | messages($chat)
  elif type != "object" then empty
  elif .ActionStatus != null and .ActionStatus != "OK" then
    refuse("an answer is \(.ActionStatus | tojson), with ErrorCode \(.ErrorCode | tojson): read that page again")
  elif .MsgList | type == "array" then
    (.ChatType // $chat) as $chat
    | (.MsgList[] | message($chat)), {page: (if has("Complete") then .Complete else 1 end)}
  elif has("From_Account") then message(.ChatType // $chat)
  else .[] | messages($chat) end;

def all: inputs | [messages("C2C")] | if . == [] then {left: "no message"} else .[] end;

def summary:
  (.left | to_entries | map("\(.value) \(.key)") | join(", ")) as $left
  | if .rows == 0 then refuse("no message to edit" + if $left == "" then "" else "; left out: \($left)" end)
    else
      ([if $left == "" then empty else "left out: \($left)" end,
        if .page | tostring == "0" then "the last page is not Complete: older messages are missing" else empty end]
       | join("; ")) as $what
      | if $what == "" then empty else "from-history-export: messages in the list: \(.rows); \($what)\n" | halt_error(0) end
    end;

foreach (all, {end: true}) as $message (
  {rows: 0, left: {}, page: 1};
  if $message.row then .rows += 1
  elif $message.left then .left[$message.left] += 1
  elif $message | has("page") then .page = $message.page
  else . end;
  if $message.end then summary
  elif $message.row then (if .rows == 1 then ["from_account", "to_account", "msg_key"] else empty end), $message.row
  else empty end
)
| @csv
