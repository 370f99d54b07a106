// What the page uses of three.js; everything else stays out of the bundle.
export {
  AmbientLight, BoxGeometry, BufferAttribute, BufferGeometry, CanvasTexture, CapsuleGeometry, CircleGeometry, Color,
  ConeGeometry, CylinderGeometry, DirectionalLight, DoubleSide, DynamicDrawUsage, Euler, Float32BufferAttribute, Fog,
  Group, HemisphereLight, IcosahedronGeometry, InstancedBufferAttribute, InstancedMesh, Line, LineBasicMaterial,
  LineLoop, LineSegments, MathUtils, Matrix4, Mesh, MeshBasicMaterial, MeshLambertMaterial, PerspectiveCamera, Plane,
  PlaneGeometry, Points, PointsMaterial, Quaternion, Raycaster, RingGeometry, Scene, ShaderMaterial, SphereGeometry,
  Sprite, SpriteMaterial, SRGBColorSpace, Vector2, Vector3, WebGLRenderer,
} from "three";
export { MapControls } from "three/addons/controls/MapControls.js";
export { mergeGeometries } from "three/addons/utils/BufferGeometryUtils.js";
