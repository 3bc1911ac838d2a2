-- Health of every Windlass kind for Argo CD. In ConfigMap argocd-cm, with this text as the value:
--   resource.customizations.health.windlass.dev_Environment: |
--   resource.customizations.health.windlass.dev_Promotion: |
--   resource.customizations.health.windlass.dev_Workflow: |
--   resource.customizations.health.windlass.dev_WorkflowRun: |
--   resource.customizations.health.windlass.dev_WorkflowSource: |
local conditions = {}
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    conditions[condition.type] = condition
  end
end

local function is(name, status)
  return conditions[name] ~= nil and conditions[name].status == status
end

local function health(status, name)
  local message = ""
  if conditions[name] ~= nil then message = conditions[name].message end
  return { status = status, message = message }
end

if next(conditions) == nil then
  return { status = "Progressing", message = "Waiting for the controller" }
end
if is("Stalled", "True") then return health("Degraded", "Stalled") end

if conditions.Succeeded ~= nil then
  if is("Succeeded", "True") then return health("Healthy", "Succeeded") end
  if is("Succeeded", "False") then return health("Degraded", "Succeeded") end
  if is("Paused", "True") then return health("Suspended", "Paused") end
  if is("WaitingForApproval", "True") then return health("Suspended", "WaitingForApproval") end
  return health("Progressing", "Succeeded")
end

if obj.status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "Waiting for the controller to see the change" }
end
if conditions.Ready ~= nil and conditions.Ready.reason == "Suspended" then return health("Suspended", "Ready") end
if conditions.Ready ~= nil and conditions.Ready.reason == "WaitingForApproval" then return health("Suspended", "Ready") end
if is("Reconciling", "True") then return health("Progressing", "Reconciling") end
if is("Ready", "True") then return health("Healthy", "Ready") end
return health("Progressing", "Ready")
