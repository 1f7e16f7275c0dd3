# A list for runner from the bodies of C2C.CallbackAfterSendMsg, one after the other in a file:
#
#   jq -nrf jobs/from-webhooks.jq jobs/from-webhooks.jsonl > list.csv
#
# Messages that cannot be edited are left out: those for online recipients only, which no history keeps, and those that
# were not sent. A body without one of the three ids is an error: a list must not be silently incomplete.

def id($name):
  .[$name] as $id
  | if $id | type == "string" and . != "" then $id
    else error("the body that ends on line \(input_line_number) has no \($name)") end;

["from_account", "to_account", "msg_key"],
(inputs
  | select(.CallbackCommand == "C2C.CallbackAfterSendMsg")
  | select(.OnlineOnlyFlag != 1 and (.SendMsgResult // 0) == 0)
  | [id("From_Account"), id("To_Account"), id("MsgKey")])
| @csv
