-- What Argo CD shows as the health of every kind of the channel operator. It follows the rules of kstatus: what is not
-- looked at yet, or still at work, is Progressing; what only a user can mend is Degraded.
local hs = { status = "Progressing", message = "Waiting for the operator to look at it" }
local status = obj.status or {}
local found = {}
for _, condition in ipairs(status.conditions or {}) do
  found[condition.type] = condition
end
local ready = found["Ready"]

if obj.metadata.annotations ~= nil and obj.metadata.annotations["channel-operator.dev/reconcile"] == "Disabled" then
  hs.status = "Suspended"
  hs.message = "The annotation channel-operator.dev/reconcile is Disabled"
  return hs
end
if ready == nil then
  return hs
end
hs.message = ready.message
if obj.metadata.deletionTimestamp ~= nil then
  return hs
end
if status.observedGeneration ~= obj.metadata.generation then
  hs.message = "Waiting for the operator to look at the last change"
  return hs
end
if found["Stalled"] ~= nil and found["Stalled"].status == "True" then
  hs.status = "Degraded"
  hs.message = found["Stalled"].message
elseif found["Reconciling"] ~= nil and found["Reconciling"].status == "True" then
  hs.message = found["Reconciling"].message
elseif ready.status == "True" then
  hs.status = "Healthy"
elseif ready.status == "False" then
  hs.status = "Degraded"
end
return hs
