# A list for runner from the bodies of the webhooks that have a MsgKey (C2C.CallbackAfterSendMsg,
# C2C.CallbackBeforeSendMsg, Bot.OnC2CMessage), one after the other in a file:
#
#   jq -nrf jobs/from-webhooks.jq jobs/from-webhooks.jsonl > list.csv
#
# A body may stand inside another object or an array, as loggers write it, and may be a string that holds JSON.
#
# Left out, counted and reported on standard error: messages for online recipients only, which no history keeps, those
# that were not sent, and whatever else is in the log. A message without one of the three ids is refused, and so is a
# log without any message: jq then ends with 5. A list must not be silently incomplete.

def commands: ["C2C.CallbackAfterSendMsg", "C2C.CallbackBeforeSendMsg", "Bot.OnC2CMessage"];

def refuse($what): "from-webhooks: \($what)\n" | halt_error(5);

def id($name):
  .[$name] as $id
  | if $id | type == "string" and . != "" then $id
    else refuse("the body that ends on line \(input_line_number) has no \($name)") end;

# A number or a flag, also as text or as true and false.
def number($name):
  .[$name]
  | (if type == "string" then ascii_downcase else . end) as $flag
  | if $flag == null or $flag == false or $flag == "" or $flag == "false" then 0
    elif $flag == true or $flag == "true" then 1
    else tonumber? // refuse("\($name) is \(tojson) in the body that ends on line \(input_line_number)") end;

def is_body:
  type == "object"
  and ([has("CallbackCommand", "From_Account", "To_Account", "MsgKey", "GroupId") | select(.)] | length > 1);

# The bodies in a value, each with its command: its own, or that of a URL or of parameters beside it.
def bodies($command):
  if is_body then [(.CallbackCommand // $command), .]
  elif type == "array" then .[] | bodies($command)
  elif type == "string" then
    (if test("^\\s*[{\\[\"]") then fromjson? elif startswith("eyJ") then (@base64d | fromjson)? else empty end)
    | bodies($command)
  elif type != "object" then empty
  elif .MsgList | type == "array" then
    refuse("this is no log of webhooks, but a history (MsgList): see from-history-export.jq")
  else
    [.CallbackCommand, (.[] | objects | .CallbackCommand),
      (.[] | strings | capture("CallbackCommand=(?<name>[A-Za-z0-9_.]+)").name) | strings][0] as $found
    | .[] | bodies($found // $command)
  end;

def message:
  . as [$command, $body]
  | $body
  | if $command != null and ($command | IN(commands[]) | not) then {left: "of \($command | tojson)"}
    elif (.GroupId // "") != "" then {left: "of a group"}
    elif number("OnlineOnlyFlag") != 0 then {left: "for online recipients only"}
    elif number("SendMsgResult") != 0 then {left: "not sent (SendMsgResult)"}
    else {row: [id("From_Account"), id("To_Account"), id("MsgKey")]} end;

def messages:
  inputs
  | if type == "array" then .[] else . end
  | (.CallbackCommand? // null | if . == null then "no webhook body" else "of \(tojson)" end) as $left
  | [bodies(null) | message]
  | if . == [] then {left: $left} else .[] end;

def summary:
  (.left | to_entries | map("\(.value) \(.key)") | join(", ")) as $left
  | if .rows == 0 then refuse("no message" + if $left == "" then "" else "; left out: \($left)" end)
    elif $left != "" then "from-webhooks: messages in the list: \(.rows); left out: \($left)\n" | halt_error(0)
    else empty end;

foreach (messages, {end: true}) as $message (
  {rows: 0, left: {}};
  if $message.row then .rows += 1 elif $message.left then .left[$message.left] += 1 else . end;
  if $message.end then summary
  elif $message.row then (if .rows == 1 then ["from_account", "to_account", "msg_key"] else empty end), $message.row
  else empty end
)
| @csv
