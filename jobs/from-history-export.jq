# A list for runner from the hourly export of one-to-one messages (get_history), unpacked; several may follow each other:
#
#   gzip -dcf jobs/from-history-export.json | jq -nrf jobs/from-history-export.jq > list.csv
#
# The export has no MsgKey. {MsgSeq}_{MsgRandom}_{MsgTimestamp} is the form of every key that the service's documents
# show, but none of them promises it: edit one message first (--max-rows 1), and look at it on a phone.

def id($name):
  .[$name] as $id
  | if $id | type == "string" and . != "" then $id else error("a message has no \($name)") end;

# Up to 4294967295, which jq keeps exactly.
def number($name):
  .[$name] as $number
  | if $number | type == "number" and . == floor then $number | tostring
    else error("a message has no whole \($name)") end;

["from_account", "to_account", "msg_key"],
(inputs
  | if .ChatType == "C2C" then .MsgList[]
    else error("ChatType is \(.ChatType), and only messages of C2C can be edited with this list") end
  | [id("From_Account"), id("To_Account"), ([number("MsgSeq", "MsgRandom", "MsgTimestamp")] | join("_"))])
| @csv
