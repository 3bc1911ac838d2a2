/** Name of the policy and of its binding. */
export const approvalsPolicyName = 'windlass-approvals';

const before =
  'oldObject == null || !has(oldObject.spec) || !has(oldObject.spec.approvals) ? [] : oldObject.spec.approvals';
const after = 'has(object.spec) && has(object.spec.approvals) ? object.spec.approvals : []';
const me = 'request.userInfo.username';
const myGroups = 'has(request.userInfo.groups) ? request.userInfo.groups : []';

/**
 * Whoever writes an entry of `spec.approvals` is the person it names: the API server knows who asks, and nobody is exempt.
 * Everything is written out, as the API server would fill it in, so that what it holds can be compared with this.
 */
const policySpec = {
  failurePolicy: 'Fail',
  matchConstraints: {
    matchPolicy: 'Equivalent',
    namespaceSelector: {},
    objectSelector: {},
    resourceRules: [
      {
        apiGroups: ['windlass.dev'],
        apiVersions: ['*'],
        operations: ['CREATE', 'UPDATE'],
        resources: ['promotions', 'workflowruns'],
        scope: '*',
      },
    ],
  },
  matchConditions: [{ name: 'approvals-change', expression: `(${before}) != (${after})` }],
  variables: [
    { name: 'before', expression: before },
    { name: 'after', expression: after },
    { name: 'groups', expression: myGroups },
    { name: 'added', expression: `variables.after.filter(e, e.user == ${me} && !(e in variables.before))` },
  ],
  validations: [
    {
      expression: `variables.before.filter(e, e.user != ${me}) == variables.after.filter(e, e.user != ${me})`,
      messageExpression: `"spec.approvals: only entries of your own may be added, changed or taken out; you are " + ${me}`,
      reason: 'Forbidden',
    },
    {
      expression: 'variables.added.all(e, !has(e.groups) || e.groups.all(g, g in variables.groups))',
      messageExpression:
        '"spec.approvals: an entry may only name groups of yours, which are " + variables.groups.join(", ")',
      reason: 'Forbidden',
    },
    {
      expression:
        'request.resource.resource != "promotions" || variables.added.size() == 0 || ' +
        'authorizer.group("windlass.dev").resource("environments").namespace(object.metadata.namespace)' +
        '.name(object.spec.environment).check("approve").allowed()',
      messageExpression:
        `"spec.approvals: " + ${me} + " may not approve what goes into environment " + object.spec.environment + ` +
        '": it needs the verb approve on environments.windlass.dev"',
      reason: 'Forbidden',
    },
  ],
};

const bindingSpec = { policyName: approvalsPolicyName, validationActions: ['Deny'] };

const apiVersion = 'admissionregistration.k8s.io/v1';
const metadata = { name: approvalsPolicyName };

/** The policy that makes approvals worth believing. */
export const approvalsPolicy = { apiVersion, kind: 'ValidatingAdmissionPolicy', metadata, spec: policySpec };
/** Puts the policy into force, everywhere. */
export const approvalsBinding = { apiVersion, kind: 'ValidatingAdmissionPolicyBinding', metadata, spec: bindingSpec };
